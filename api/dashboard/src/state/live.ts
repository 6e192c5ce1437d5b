// The newest frame of the chosen site and a short memory of what came before it. Everything here arrived.
import { computed, effect, signal } from '@preact/signals';
import { follow } from '../api/client';
import { type FrameFragment, Live } from '../api/generated';
import { now } from './clock';
import { siteId } from './sites';

export type Frame = FrameFragment;
export type Person = Frame['persons'][number];

/** How long paths and plots remember. */
export const MEMORY_S = 60;
const TRAIL_S = 12;
/** Without a newer frame for so long, what is shown is greyed out. */
const OLD_MS = 3_000;

export interface Arrival {
  frame: Frame;
  /** `performance.now()` when it came. */
  at: number;
}

export interface Moment {
  /** Seconds, `performance.now()`. */
  t: number;
  motion: number | null;
  processing: number;
  latency: number | null;
}

export const arrival = signal<Arrival | null>(null);
export const problem = signal<string | null>(null);
/** Where each person now shown has been, oldest first. */
export const trails = new Map<string, { t: number; x: number; y: number }[]>();
/** The last minute, oldest first; told of through `arrival`. */
export const moments: Moment[] = [];

function forget(): void {
  arrival.value = null;
  problem.value = null;
  trails.clear();
  moments.length = 0;
}

function remember(frame: Frame, at: number): void {
  const t = at / 1000;
  for (const person of frame.persons) {
    const trail = trails.get(person.id) ?? [];
    trail.push({ t, x: person.positionM.x, y: person.positionM.y });
    while (trail[0] && trail[0].t < t - TRAIL_S) trail.shift();
    trails.set(person.id, trail);
  }
  for (const [id, trail] of trails) {
    const last = trail.at(-1);
    if (!last || last.t < t - TRAIL_S / 4) trails.delete(id);
  }
  const published = frame.latencyMs === null ? null : frame.latencyMs + (frame.ageMs ?? 0);
  moments.push({ t, motion: frame.presence?.motionLevel ?? null, processing: frame.processingTimeMs, latency: published });
  while (moments[0] && moments[0].t < t - MEMORY_S) moments.shift();
}

/** Shows the newest arrival when the browser next draws: one that cannot keep up skips frames and never lags behind. */
function show(newest: Arrival): void {
  const waiting = next !== null;
  next = newest;
  if (waiting) return;
  const apply = () => {
    const shown = next;
    next = null;
    if (shown) arrival.value = shown;
  };
  // Hidden pages draw nothing.
  if (document.hidden) setTimeout(apply);
  else requestAnimationFrame(apply);
}
let next: Arrival | null = null;

effect(() => {
  const id = siteId.value;
  forget();
  if (id === undefined) return;
  const unfollow = follow(
    Live,
    { site: id },
    ({ poseFrames: frame }) => {
      const at = performance.now();
      if (!frame.stale) remember(frame, at);
      problem.value = null;
      show({ frame, at });
    },
    (reason) => { problem.value = reason; },
  );
  return () => {
    next = null;
    unfollow();
  };
});

export const frame = computed(() => arrival.value?.frame ?? null);

/** Milliseconds since the frame was published; null where the server does not know. */
export const age = computed(() => {
  const newest = arrival.value;
  if (!newest || (newest.frame.stale && newest.frame.ageMs === null)) return null;
  return (newest.frame.ageMs ?? 0) + Math.max(0, now.value - newest.at);
});

/** What is shown is not the present. */
export const old = computed(() => {
  const newest = frame.value;
  return newest !== null && (newest.stale || (age.value ?? 0) > OLD_MS);
});

/** What may be said about who is there. `null`: nothing yet. */
export const verdict = computed(() => {
  const newest = frame.value;
  if (!newest) return null;
  if (newest.persons.length > 0) return 'persons' as const;
  if (!newest.presence) return 'unknown' as const;
  return newest.presence.present ? ('somebody' as const) : ('nobody' as const);
});
