import { signal, useSignalEffect } from '@preact/signals';
import { useState } from 'preact/hooks';
import { Alerts } from '../parts/alerts';
import { EventList } from '../parts/events';
import { Front } from '../parts/front';
import { personColour } from '../parts/palette';
import { Plan } from '../parts/plan';
import { Plot } from '../parts/plot';
import { Age, Provenance } from '../parts/provenance';
import { SceneView, options } from '../parts/scene';
import { now } from '../state/clock';
import { happenings } from '../state/events';
import { type Frame, MEMORY_S, type Person, frame, moments, old, problem, trails, verdict } from '../state/live';
import { site } from '../state/sites';
import { number, texts } from '../texts';

/** The person that the camera follows. */
export const followed = signal<string | null>(null);

export function followNext(): void {
  const ids = frame.peek()?.persons.map((p) => p.id) ?? [];
  const at = followed.peek() === null ? -1 : ids.indexOf(followed.peek() ?? '');
  followed.value = ids[at + 1] ?? null;
}

export function Live() {
  useSignalEffect(() => {
    // Whoever left is not followed any more.
    if (followed.value !== null && !frame.value?.persons.some((p) => p.id === followed.value)) followed.value = null;
  });
  const place = site.value;
  return (
    <div class={`live ${old.value ? 'is-old' : ''}`}>
      <section class="room panel">
        <SceneView site={site} frame={frame} trails={trails} followed={followed} />
        <div class="corner top-left"><Provenance /></div>
        <div class="corner top-right"><Options /></div>
        <div class="corner bottom-left hint">{followed.value === null ? texts.scene.hint : texts.scene.followed(followed.value)}</div>
        {followed.value !== null && (
          <div class="corner bottom-right">
            <button type="button" onClick={() => { followed.value = null; }}>{texts.scene.back}</button>
          </div>
        )}
        {old.value && <div class="stale" role="status"><Age /> <span>{texts.old.explanation}</span></div>}
        {!frame.value && <p class="notice">{problem.value ?? texts.scene.waiting}</p>}
      </section>
      <aside class="side">
        <Alerts />
        <Verdict />
        <People />
        {place && (
          <section class="panel">
            <h2>{texts.plan.title}</h2>
            <Plan site={place} frame={frame.value} trails={trails} />
          </section>
        )}
        {place && (frame.value?.persons.length ?? 0) > 0 && (
          <section class="panel">
            <h2>{texts.skeletons.title}</h2>
            <Front site={place} frame={frame.value} />
          </section>
        )}
        <section class="panel">
          <h2>{texts.events.title}</h2>
          <EventList events={happenings.value.slice(0, 30)} site={place} />
        </section>
      </aside>
    </div>
  );
}

function Options() {
  return (
    <div class="options" role="group" aria-label={texts.scene.optionsLabel}>
      {(Object.keys(options) as (keyof typeof options)[]).map((name) => (
        <button
          key={name}
          type="button"
          class="toggle"
          aria-pressed={options[name].value}
          onClick={() => { options[name].value = !options[name].value; }}
        >{texts.scene.options[name]}</button>
      ))}
    </div>
  );
}

/** The sentence above all: who is here. */
function Verdict() {
  const newest = frame.value;
  const said = verdict.value;
  const words = texts.verdict;
  const [title, more] =
    said === null ? [words.waiting, words.waitingLong]
    : said === 'persons' ? [words.persons(newest?.persons.length ?? 0), null]
    : said === 'nobody' ? [words.nobody, words.nobodyLong]
    : said === 'unknown' ? [words.unknown, words.unknownLong]
    : [words.somebody, newest?.provenance.model === null ? words.somebodyLong : words.somebodyExperimental];
  return (
    <section class="panel verdict" data-verdict={said ?? 'waiting'}>
      <h1>{title}</h1>
      {more && <p>{more}</p>}
      {newest?.presence && (
        <>
          <div class="readings">
            <span title={words.motionLong}>{words.motion} <b>{number(newest.presence.motionLevel, 1)}</b></span>
            <span title={words.coverageLong}>{words.coverage} <b>{number(newest.presence.coverage * 100)} %</b></span>
            {newest.breathing && (
              <span class="breathing" title={[words.breathingLong(number(newest.breathing.quality, 2)), newest.persons.length > 1 && words.breathingSeveral].filter(Boolean).join(' ')}>
                {words.breathing} <b>{words.perMinute(newest.breathing.rateBpm)}</b>
              </span>
            )}
          </div>
          <Motion />
        </>
      )}
    </section>
  );
}

function Motion() {
  const [shown, setShown] = useState<{ data: [number[], (number | null)[]]; span: [number, number] }>();
  useSignalEffect(() => {
    const until = now.value / 1000;
    setShown({ data: [moments.map((m) => m.t), moments.map((m) => m.motion)], span: [Math.max(until - MEMORY_S, Math.min(moments[0]?.t ?? until, until - 10)), until] });
  });
  if (!shown) return null;
  const until = shown.span[1];
  return (
    <Plot
      label={texts.verdict.motionLong}
      lines={[{ label: texts.verdict.motion, colour: 'accent', fill: true }]}
      data={shown.data}
      span={shown.span}
      gap={1}
      height={92}
      least={2}
      time={(t) => texts.ago(until - t)}
    />
  );
}

function People() {
  const newest: Frame | null = frame.value;
  if (!newest?.persons.length) return null;
  return (
    <ul class="people" aria-label={texts.person.people}>
      {newest.persons.map((person) => <Card key={person.id} person={person} experimental={newest.provenance.experimental} />)}
    </ul>
  );
}

function Card({ person, experimental }: { person: Person; experimental: boolean }) {
  const words = texts.person;
  const { id, activity, zone, confidence, positionM: at, velocityMS: v } = person;
  const chosen = followed.value === id;
  return (
    <li class="panel card" data-person={id} style={{ '--tint': personColour(id) }}>
      <button
        type="button"
        class="name"
        aria-pressed={chosen}
        aria-label={words.follow(id)}
        title={words.follow(id)}
        onClick={() => { followed.value = chosen ? null : id; }}
      >{texts.scene.person(id)}</button>
      {experimental && <span class="badge experimental" title={texts.experimentalLong}>{texts.experimental}</span>}
      <p class={`activity ${activity === 'FALLING' ? 'alarm' : ''}`}>{activity ? words.activities[activity] : words.noActivity}</p>
      <p class="where">{zone ? zone.name : words.noZone}</p>
      <p class="figures"><span>{words.position(at.x, at.y)}</span><span>{words.speed(Math.hypot(v.x, v.y))}</span></p>
      <div class="meter" role="meter" aria-label={words.confidence} aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(confidence * 100)}>
        <span class="bar"><span style={{ width: `${confidence * 100}%` }} /></span>
        <span>{number(confidence * 100)} % {words.confidence}</span>
      </div>
    </li>
  );
}
