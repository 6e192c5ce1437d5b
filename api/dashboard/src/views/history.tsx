import { computed, effect, signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { Plan } from '../parts/plan';
import { Plot } from '../parts/plot';
import { SceneView } from '../parts/scene';
import { type Frame, frame as newest } from '../state/live';
import { ask } from '../api/client';
import { Past } from '../api/generated';
import { site, siteId } from '../state/sites';
import { clock, duration, number, texts } from '../texts';
import { heatOf, shares } from './shares';

const words = texts.history;
/** Frames a page, within what one query may cost; and most frames held here. */
const PAGE = 200;
const MOST = 4_000;
const SPEEDS = [1, 2, 4, 8];

const frames = signal<Frame[]>([]);
const busy = signal(false);
const failure = signal<string | null>(null);
const position = signal(0);
const playing = signal(false);
const speed = signal(1);
const followed = signal<string | null>(null);

const seconds = (frame: Frame | undefined) => (frame ? Date.parse(frame.time) / 1000 : 0);
const shown = computed<Frame | null>(() => frames.value[position.value] ?? null);
/** Where everybody was in the seconds before the shown frame. */
const trails = new Map<string, { x: number; y: number }[]>();
effect(() => {
  trails.clear();
  const at = shown.value;
  if (!at) return;
  const from = seconds(at) - 12;
  for (let i = Math.max(0, position.value - 400); i <= position.value; i += 1) {
    const frame = frames.value[i];
    if (!frame || seconds(frame) < from) continue;
    for (const { id, positionM: p } of frame.persons) trails.set(id, [...(trails.get(id) ?? []), p]);
  }
});

async function load(id: string): Promise<void> {
  busy.value = true;
  failure.value = null;
  playing.value = false;
  frames.value = [];
  let found: Frame[] = [];
  let before: string | null = null;
  try {
    do {
      const { frames: page }: Awaited<ReturnType<typeof past>> = await past(id, before);
      found = [...page.nodes, ...found];
      if (siteId.peek() !== id) return;
      // What is shown stays what it was while older frames come in before it.
      const fromEnd = frames.peek().length - position.peek();
      frames.value = found;
      position.value = Math.max(0, found.length - Math.max(1, fromEnd));
      before = page.pageInfo.hasPreviousPage ? page.pageInfo.startCursor : null;
    } while (before !== null && found.length < MOST);
  } catch (error) {
    failure.value = error instanceof Error ? error.message : String(error);
  }
  busy.value = false;
}
const past = (id: string, before: string | null) => ask(Past, { site: id, last: PAGE, before });

/** The newest frames that the server keeps: scrubbed, played back, counted. */
export function History() {
  const id = siteId.value;
  useEffect(() => {
    frames.value = [];
    if (id !== undefined) void load(id);
    return () => { playing.value = false; };
  }, [id]);
  useEffect(() => effect(() => (playing.value ? play() : undefined)), []);

  const place = site.value;
  const all = frames.value;
  const span = seconds(all.at(-1)) - seconds(all[0]);
  return (
    <div class="history page">
      <section class="panel">
        <header class="row">
          <h1>{words.title}</h1>
          <p>
            {failure.value ?? (all.length ? words.frames(all.length, span) : busy.value ? '' : words.empty)} {busy.value && words.loading}
          </p>
          <button type="button" disabled={busy.value || id === undefined} onClick={() => id !== undefined && void load(id)}>{words.load}</button>
        </header>
        {all.length > 1 && <Timeline />}
      </section>
      {all.length > 0 && (
        <div class="live">
          <section class="room panel">
            <SceneView site={site} frame={shown} trails={trails} followed={followed} />
            {shown.value && (
              <div class="corner top-left provenance">
                <span class={`badge ${shown.value.provenance.source.toLowerCase()}`}>{texts.sources[shown.value.provenance.source]}</span>
                {shown.value.provenance.experimental && <span class="badge experimental">{texts.experimental}</span>}
                <span class="mark">{shown.value.provenance.model ?? texts.noModel}</span>
                <span class="badge old">{clock(shown.value.time)}</span>
              </div>
            )}
          </section>
          <aside class="side">
            {place && <section class="panel"><h2>{words.heat}</h2><Plan site={place} frame={shown.value} heat={heatOf(all)} /><p class="hint">{words.heatLong}</p></section>}
            <Shares title={words.occupancy} of={shares(all, whoIsThere)} />
            <Activities />
          </aside>
        </div>
      )}
      {!all.length && !busy.value && newest.value === null && <p class="hint">{texts.verdict.waitingLong}</p>}
    </div>
  );
}

const whoIsThere = ({ persons, presence }: Frame) =>
  [persons.length ? words.persons(persons.length) : presence === null ? words.unknown : presence.present ? words.somebody : words.nobody];

function Activities() {
  const done = shares(frames.value, (f) => f.persons.map((p) => (p.activity ? texts.person.activities[p.activity] : words.notKnown)));
  return done.length ? <Shares title={words.activities} of={done} /> : <section class="panel"><h2>{words.activities}</h2><p>{words.noPersons}</p></section>;
}

function Shares({ title, of }: { title: string; of: { name: string; share: number; seconds: number }[] }) {
  return (
    <section class="panel">
      <h2>{title}</h2>
      <ul class="shares">
        {of.map(({ name, share, seconds: s }) => (
          <li key={name}><span>{name}</span><span class="bar"><span style={{ width: `${share * 100}%` }} /></span><span>{number(share * 100)} % · {duration(s)}</span></li>
        ))}
      </ul>
    </section>
  );
}

function Timeline() {
  const all = frames.value;
  const t = all.map(seconds);
  const seek = (wanted: number) => {
    const at = t.findIndex((s) => s >= wanted);
    position.value = at < 0 ? all.length - 1 : at;
  };
  return (
    <>
      <Plot
        label={words.title}
        height={120}
        least={2}
        lines={[{ label: words.motion, colour: 'accent', fill: true }, { label: words.people, colour: 'replay', steps: true }]}
        data={plotted.value}
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

const plotted = computed<[number[], (number | null)[], number[]]>(() => [
  frames.value.map(seconds),
  frames.value.map((f) => f.presence?.motionLevel ?? null),
  frames.value.map((f) => f.persons.length),
]);

/** Shows frame after frame as their times say, until the end; returns what stops it. */
function play(): () => void {
  if (position.peek() >= frames.peek().length - 1) position.value = 0;
  let at = seconds(shown.peek() ?? undefined);
  let before = performance.now();
  let next = requestAnimationFrame(step);
  function step(): void {
    const now = performance.now();
    at += ((now - before) / 1000) * speed.peek();
    before = now;
    const all = frames.peek();
    let i = position.peek();
    while (i < all.length - 1 && seconds(all[i + 1]) <= at) i += 1;
    position.value = i;
    if (i >= all.length - 1) playing.value = false;
    else next = requestAnimationFrame(step);
  }
  return () => cancelAnimationFrame(next);
}
