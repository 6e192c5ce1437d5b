import { useEffect, useState } from 'preact/hooks';
import { type Knowledge, type Recorded, ROOM, command, knowledge, labelOf, labelled, listenToQuiet, record, roomCommands } from '../state/calibration';
import { clock, duration, number, texts } from '../texts';

const words = texts.calibration;
/** Between two looks while something goes on, and while nothing does, milliseconds. */
const SOON_MS = 1_000;
const SELDOM_MS = 10_000;
/** What a recording's name may begin with. */
const LABEL = '[A-Za-z0-9_]{1,32}';
const SECONDS = [30, 60, 120, 300];
/** As long as a recording of one activity takes. */
const ACTIVITY_S = 60;
/** As long as a walk or a camera's labels take to teach a room. */
const ROOM_S = 300;

const reason = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Teaches a site its own room, one step after the other. */
export function Calibration({ site }: { site: string }) {
  return (
    <ol class="steps">
      <li><Quiet site={site} /></li>
      <li><Activities site={site} /></li>
      <li><Poses site={site} /></li>
    </ol>
  );
}

/** Asks again and again until the returned function is called; `soon` says how long to wait. */
function watch<T>(look: () => Promise<T>, take: (found: T) => void, failed: (reason: string) => void, soon: (found: T) => boolean): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gone = false;
  const once = async () => {
    let wait = SELDOM_MS;
    try {
      const found = await look();
      if (gone) return;
      take(found);
      if (soon(found)) wait = SOON_MS;
    } catch (error) {
      if (!gone) failed(reason(error));
      return;
    }
    timer = setTimeout(() => void once(), wait);
  };
  void once();
  return () => { gone = true; clearTimeout(timer); };
}

function Quiet({ site }: { site: string }) {
  const [known, setKnown] = useState<Knowledge>();
  const [problem, setProblem] = useState<string>();
  const [seconds, setSeconds] = useState(SECONDS[0] ?? 30);
  const listening = known?.state === 'LISTENING';
  useEffect(() => watch(() => knowledge(site), setKnown, setProblem, (k) => k.state === 'LISTENING'), [site, listening]);
  const start = async () => {
    try {
      setProblem(undefined);
      setKnown(await listenToQuiet(site, seconds));
    } catch (error) {
      setProblem(reason(error));
    }
  };
  return (
    <div class="quiet-room" data-state={known?.state}>
      <h4>{words.quiet}</h4>
      <p>{words.quietHow}</p>
      {listening ? (
        <p class="row" role="status">
          <progress max={known.seconds ?? 1} value={known.passedS ?? 0} aria-label={words.quiet} />
          <output>{words.left(Math.max(0, (known.seconds ?? 0) - (known.passedS ?? 0)))}</output>
        </p>
      ) : (
        <p class="row">
          <label>{words.length} <select value={seconds} onChange={(e) => setSeconds(Number(e.currentTarget.value))}>
            {SECONDS.map((s) => <option key={s} value={s}>{duration(s)}</option>)}
          </select></label>
          <button type="button" class="listen" disabled={!known} onClick={() => void start()}>{words.start}</button>
        </p>
      )}
      {known?.state === 'DONE' && known.endedAt && <p class="done" role="status">{words.done(known.endedAt.slice(0, 10), clock(known.endedAt).slice(0, 8))}</p>}
      {known?.state === 'REFUSED' && <p class="problem" role="alert">{words.refused(known.reason ?? '')}</p>}
      {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
      {known && known.links.length > 0 && (
        <ul class="baselines" aria-label={words.baselines}>
          {known.links.map(({ linkId, layout, quietLevel, learnedAt, holds, dropped }) => (
            <li key={`${linkId} ${layout}`}>
              <span class={`lamp ${holds ? 'good' : dropped === null ? 'idle' : 'bad'}`}>{linkId}</span>{' '}
              <small>{quietLevel === null || learnedAt === null ? words.notLearned : words.learned(number(quietLevel * 100, 2), learnedAt.slice(0, 10), clock(learnedAt).slice(0, 8))}{dropped !== null && ` · ${dropped}`}</small>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

/** A site's labelled recordings, and how another is begun. */
function useRecordings(site: string) {
  const [made, setMade] = useState<Recorded[]>([]);
  const [problem, setProblem] = useState<string>();
  const [asked, setAsked] = useState(0);
  const recording = made.find((r) => r.status === 'RECORDING');
  useEffect(() => watch(() => labelled(site), setMade, setProblem, (all) => all.some((r) => r.status === 'RECORDING')), [site, asked]);
  const start = async (label: string, seconds: number) => {
    try {
      setProblem(undefined);
      await record(site, label, seconds, made);
      setAsked(asked + 1);
    } catch (error) {
      setProblem(reason(error));
    }
  };
  const complete = made.filter((r) => r.status === 'COMPLETE' && r.frames > 0);
  return { recording, complete, problem, start };
}

function Activities({ site }: { site: string }) {
  const { recording, complete: all, problem, start } = useRecordings(site);
  const [label, setLabel] = useState('');
  const complete = all.filter((r) => labelOf(r) !== ROOM);
  const counts = new Map<string, number>();
  for (const r of complete) counts.set(labelOf(r) ?? '', (counts.get(labelOf(r) ?? '') ?? 0) + 1);
  const enough = counts.size > 1 && [...counts.values()].every((n) => n > 1);
  return (
    <div class="activities">
      <h4>{words.activities}</h4>
      <p>{words.activitiesHow}</p>
      <form class="row" onSubmit={(e) => { e.preventDefault(); void start(label, ACTIVITY_S); }}>
        <label>{words.label} <input type="text" name="label" list={`labels-${site}`} pattern={LABEL} required value={label} onInput={(e) => setLabel(e.currentTarget.value)} /></label>
        <datalist id={`labels-${site}`}>{words.labels.map((l) => <option key={l} value={l} />)}</datalist>
        <button type="submit" disabled={recording !== undefined}>{words.record(ACTIVITY_S)}</button>
      </form>
      {recording && <p role="status">{words.recording(recording.id, number(recording.frames))}</p>}
      {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
      {complete.length > 0 && (
        <>
          <p>{words.made(complete.map((r) => r.id))}</p>
          <p>{enough ? words.then : words.more}</p>
          {enough && <pre tabIndex={0} aria-label={words.command}>{command(site, complete)}</pre>}
        </>
      )}
    </div>
  );
}

function Poses({ site }: { site: string }) {
  const { recording, complete, problem, start } = useRecordings(site);
  const newest = complete.filter((r) => labelOf(r) === ROOM).at(-1);
  return (
    <div class="poses">
      <h4>{words.poses}</h4>
      <p>{words.posesHow}</p>
      <p class="row"><button type="button" disabled={recording !== undefined} onClick={() => void start(ROOM, ROOM_S)}>{words.record(ROOM_S)}</button></p>
      {recording && labelOf(recording) === ROOM && <p role="status">{words.recording(recording.id, number(recording.frames))}</p>}
      {problem !== undefined && <p class="problem" role="alert">{problem}</p>}
      {newest && roomCommands(site, newest).map(([by, text]) => (
        <div key={by}>
          <p>{words.roomBy[by]}</p>
          <pre tabIndex={0} aria-label={words.command}>{text}</pre>
        </div>
      ))}
      {newest && <p>{words.roomThen}</p>}
    </div>
  );
}
