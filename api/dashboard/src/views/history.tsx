import { computed, effect, signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { save } from '../api/client';
import { EventList } from '../parts/events';
import { Plan } from '../parts/plan';
import { Plot } from '../parts/plot';
import { SceneView } from '../parts/scene';
import { Dwell, Heat, Occupancy, Activities } from '../parts/sums';
import {
  SPANS, type Span, WINDOW_S, busy, failure, frames, known, loadSpan, loading, play, playing, position, seconds, show, shown, span, speed, start, trails,
} from '../state/past';
import { site, siteId } from '../state/sites';
import { token } from '../state/token';
import type { Severity } from '../api/generated';
import { clock, texts } from '../texts';

const words = texts.history;
const SPEEDS = [1, 2, 4, 8];
const SEVERITIES: Severity[] = ['INFO', 'LOW', 'MEDIUM', 'HIGH', 'CRITICAL'];
/** Rows of the list of events. */
const ROWS = 200;

const followed = signal<string | null>(null);
const least = signal<Severity>('INFO');

/** What the server has kept: in sums, as events, and frame by frame. */
export function History() {
  const id = siteId.value;
  const wanted = span.value;
  const some = ofSite.value.length > 0;
  useEffect(() => { if (id !== undefined) void loadSpan(id); }, [id, wanted]);
  // What has just begun shows soon; later the columns are minutes.
  useEffect(() => {
    if (id === undefined) return;
    const timer = setInterval(() => { if (!document.hidden && !busy.peek()) void loadSpan(id, true); }, some ? 60_000 : 5_000);
    return () => clearInterval(timer);
  }, [id, some]);
  useEffect(() => {
    const stop = effect(() => (playing.value ? play() : undefined));
    return () => { playing.value = false; stop(); };
  }, []);
  const found = known.value;
  return (
    <div class="history page">
      <section class="panel">
        <header class="row">
          <h1>{words.title}</h1>
          <label>{words.span} <select value={wanted} onChange={(e) => { span.value = e.currentTarget.value as Span; }}>
            {(Object.keys(SPANS) as Span[]).map((s) => <option key={s} value={s}>{words.last(words.spans[s])}</option>)}
          </select></label>
          <p role="status">{busy.value ? words.loading : failure.value !== null ? words.away(failure.value) : found && !found.sums.activity.length ? words.empty : ''}</p>
          <button type="button" disabled={busy.value || id === undefined} onClick={() => id !== undefined && void loadSpan(id)}>{words.load}</button>
          {found && <Exports from={found.from} to={found.to} />}
        </header>
        {found && found.sums.activity.length > 0 && <Course />}
      </section>
      {start.value !== null && <Again />}
      {found && found.sums.activity.length > 0 && (
        <div class="grid sums">
          <section class="panel"><h2>{words.heat}</h2>{site.value && <Heat site={site.value} of={found.sums.heatMap} />}<p class="hint">{words.heatLong}</p></section>
          <Occupancy of={found.sums.activity} zones={site.value?.zones ?? []} />
          <Dwell of={found.events} more={found.more} zones={site.value?.zones ?? []} />
          <Activities of={found.sums.activity} />
          <Events />
        </div>
      )}
    </div>
  );
}

const ofSite = computed(() => known.value?.sums.activity.filter((s) => s.zoneId === null) ?? []);
const course = computed<[number[], number[], number[], (number | null)[]]>(() => [
  ofSite.value.map((s) => Date.parse(s.start) / 1000),
  ofSite.value.map((s) => s.meanOccupancy),
  ofSite.value.map((s) => s.maxOccupancy),
  ofSite.value.map((s) => s.motionLevel),
]);

/** How many people over time; a click shows that moment again. */
function Course() {
  const { from, to, minutes } = known.value ?? { from: '', to: '', minutes: 1 };
  const days = Date.parse(to) - Date.parse(from) > 86_400_000;
  return (
    <>
      <Plot
        label={words.occupancy}
        height={150}
        least={1}
        lines={[
          { label: words.people, colour: 'accent', fill: true, steps: true },
          { label: words.most, colour: 'replay', steps: true },
          { label: words.motion, colour: 'zone-2', steps: true },
        ]}
        data={course.value}
        span={[Date.parse(from) / 1000, Date.parse(to) / 1000]}
        gap={minutes * 60}
        time={(s) => words.time(s, days)}
        onSeek={(s) => siteId.value !== undefined && void show(siteId.value, s * 1000)}
      />
      <p class="hint row">
        {words.choose}
        <input
          type="datetime-local"
          step="1"
          aria-label={words.choose}
          onChange={(e) => {
            const moment = Date.parse(`${e.currentTarget.value}Z`);
            if (siteId.value !== undefined && Number.isFinite(moment)) void show(siteId.value, moment);
          }}
        /> UTC
      </p>
    </>
  );
}

function Exports({ from, to }: { from: string; to: string }) {
  const address = (format: string) =>
    `api/v1/analytics/export?${new URLSearchParams({ format, start_time: from, end_time: to, ...(siteId.value === undefined ? {} : { site_id: siteId.value }) })}`;
  return (
    <span class="exports" role="group" aria-label={words.export} title={words.exportLong}>
      {words.export}{' '}
      {(Object.keys(words.formats) as (keyof typeof words.formats)[]).map((format) => (
        <a
          key={format}
          class="button"
          href={address(format)}
          download
          onClick={(e) => {
            if (!token.value) return;
            // A link brings no credentials.
            e.preventDefault();
            save(address(format), `frames.${format}`).catch((error: unknown) => { failure.value = String(error); });
          }}
        >{words.formats[format]}</a>
      ))}
    </span>
  );
}

function Events() {
  const { events, more } = known.value ?? { events: [], more: false };
  const from = SEVERITIES.indexOf(least.value);
  const chosen = events.filter((e) => SEVERITIES.indexOf(e.severity) >= from).reverse().slice(0, ROWS);
  return (
    <section class="panel wide-cell">
      <header class="row">
        <h2>{words.events}</h2>
        <label>{words.important} <select value={least.value} onChange={(e) => { least.value = e.currentTarget.value as Severity; }}>
          {SEVERITIES.map((s) => <option key={s} value={s}>{words.severities[s]}</option>)}
        </select></label>
      </header>
      <EventList events={chosen} site={site.value} onChoose={(event) => siteId.value !== undefined && void show(siteId.value, Date.parse(event.time))} />
      {more && <p class="hint">{words.eventsMore(events.length)}</p>}
    </section>
  );
}

/** Some minutes frame by frame. */
function Again() {
  const all = frames.value;
  const id = siteId.value;
  const top = useRef<HTMLDivElement>(null);
  // Whoever chose an event far below sees it.
  useEffect(() => top.current?.scrollIntoView({ block: 'nearest' }), [start.value]);
  const move = (by: number) => id !== undefined && start.value !== null && void show(id, start.value + by * 1000, 0);
  return (
    <div class="live again" ref={top}>
      <section class="room panel">
        <SceneView site={site} frame={shown} trails={trails} followed={followed} />
        {shown.value && (
          <div class="corner top-left provenance">
            <span class={`badge ${shown.value.provenance.source.toLowerCase()}`}>{texts.sources[shown.value.provenance.source]}</span>
            {shown.value.provenance.experimental && <span class="badge experimental">{texts.experimental}</span>}
            <span class="mark">{shown.value.provenance.model ?? texts.noModel}</span>
            <span class="badge old">{shown.value.time.slice(0, 10)} {clock(shown.value.time)}</span>
          </div>
        )}
        {!all.length && <p class="notice">{loading.value ? words.loading : words.noFrames}</p>}
      </section>
      <aside class="side">
        <section class="panel">
          <h2>{words.minutesTitle}</h2>
          <p class="row">
            <button type="button" onClick={() => move(-WINDOW_S)}>{words.earlier}</button>
            <button type="button" onClick={() => move(WINDOW_S)}>{words.later}</button>
            <span class="hint">{all.length > 0 && words.frames(all.length, seconds(all.at(-1)) - seconds(all[0]))}</span>
          </p>
          {all.length > 1 && <Timeline />}
        </section>
        {site.value && <section class="panel"><h2>{texts.plan.title}</h2><Plan site={site.value} frame={shown.value} trails={trails} /></section>}
      </aside>
    </div>
  );
}

const plotted = computed<[number[], (number | null)[], number[]]>(() => [
  frames.value.map(seconds),
  frames.value.map((f) => f.presence?.motionLevel ?? null),
  frames.value.map((f) => f.persons.length),
]);

function Timeline() {
  const all = frames.value;
  const seek = (wanted: number) => {
    const at = all.findIndex((f) => seconds(f) >= wanted);
    position.value = at < 0 ? all.length - 1 : at;
  };
  return (
    <>
      <Plot
        label={words.minutesTitle}
        height={110}
        least={2}
        lines={[{ label: words.motion, colour: 'accent', fill: true }, { label: words.persons, colour: 'replay', steps: true }]}
        data={plotted.value}
        gap={2}
        time={(s) => new Date(s * 1000).toISOString().slice(11, 19)}
        onSeek={seek}
      />
      <div class="row">
        <button type="button" onClick={() => { playing.value = !playing.value; }}>{playing.value ? words.pause : words.play}</button>
        <label>{words.speed} <select value={speed.value} onChange={(e) => { speed.value = Number(e.currentTarget.value); }}>
          {SPEEDS.map((s) => <option key={s} value={s}>{s}×</option>)}
        </select></label>
        <input
          class="scrub"
          type="range"
          min={0}
          max={all.length - 1}
          value={position.value}
          aria-label={words.position}
          aria-valuetext={shown.value ? clock(shown.value.time) : ''}
          onInput={(e) => { playing.value = false; position.value = Number(e.currentTarget.value); }}
        />
        <output>{shown.value ? clock(shown.value.time) : ''}</output>
      </div>
    </>
  );
}
