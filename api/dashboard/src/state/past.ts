// What the server has kept: sums and events of a span of time, and the frames of some minutes of it.
import { computed, effect, signal } from '@preact/signals';
import { ask } from '../api/client';
import { Minutes, Sums, type SumsQuery } from '../api/generated';
import { type Happening, eventsOf } from './events';
import type { Frame } from './live';
import { siteId } from './sites';

/** Length in seconds, and minutes of one column of the chart. */
export const SPANS = {
  quarter: { seconds: 900, minutes: 1 },
  hour: { seconds: 3600, minutes: 1 },
  day: { seconds: 86_400, minutes: 15 },
  week: { seconds: 7 * 86_400, minutes: 120 },
  month: { seconds: 30 * 86_400, minutes: 360 },
} as const;
export type Span = keyof typeof SPANS;

export type Stretch = SumsQuery['activity'][number];

/** What is known of the chosen span. */
export interface Known {
  from: string;
  to: string;
  minutes: number;
  sums: SumsQuery;
  events: Happening[];
  /** There are more events than these. */
  more: boolean;
}

/** Events of a span, at most. */
const MOST_EVENTS = 5_000;

export const span = signal<Span>('hour');
export const known = signal<Known | null>(null);
export const busy = signal(false);
export const failure = signal<string | null>(null);

const words = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** Answers to what was asked before are not wanted any more. */
let asked = 0;

/** `quiet`: what is shown stays until the answer is there. */
export async function loadSpan(site: string, quiet = false): Promise<void> {
  asked += 1;
  const mine = asked;
  const { seconds, minutes } = SPANS[span.peek()];
  const to = new Date();
  const range = { site, from: new Date(to.getTime() - seconds * 1000).toISOString(), to: to.toISOString() };
  busy.value = !quiet;
  failure.value = null;
  try {
    const [sums, { found, more }] = await Promise.all([ask(Sums, { ...range, minutes }), eventsOf(site, range.from, range.to, MOST_EVENTS)]);
    if (mine === asked) known.value = { ...range, minutes, sums, events: found, more };
  } catch (error) {
    if (mine === asked) { known.value = null; failure.value = words(error); }
  }
  if (mine === asked) busy.value = false;
}

/** Seconds of frames that are loaded at once. */
export const WINDOW_S = 60;

export const frames = signal<Frame[]>([]);
/** First moment of the loaded minute, milliseconds since 1970; null before a moment was chosen. */
export const start = signal<number | null>(null);
export const position = signal(0);
export const playing = signal(false);
export const speed = signal(1);
export const loading = signal(false);
export const shown = computed<Frame | null>(() => frames.value[position.value] ?? null);

export const seconds = (frame: Frame | null | undefined) => (frame ? Date.parse(frame.time) / 1000 : 0);

let wanted = 0;

/** Loads the minute around a moment, in milliseconds since 1970, and shows that moment. */
export async function show(site: string, moment: number, lead = WINDOW_S / 4): Promise<void> {
  wanted += 1;
  const mine = wanted;
  playing.value = false;
  loading.value = true;
  start.value = moment - lead * 1000;
  frames.value = [];
  const [from, to] = [start.value, start.value + WINDOW_S * 1000].map((ms) => new Date(ms).toISOString());
  let found: Frame[] = [];
  let after: string | null = null;
  try {
    do {
      const { frames: page }: Awaited<ReturnType<typeof minute>> = await minute(site, from, to, after);
      if (mine !== wanted) return;
      found = [...found, ...page.nodes];
      after = page.pageInfo.hasNextPage ? page.pageInfo.endCursor : null;
    } while (after !== null);
    const at = found.findIndex((f) => Date.parse(f.time) >= moment);
    frames.value = found;
    position.value = at < 0 ? Math.max(0, found.length - 1) : at;
  } catch (error) {
    failure.value = words(error);
  }
  if (mine === wanted) loading.value = false;
}
const minute = (site: string, from: string | undefined, to: string | undefined, after: string | null) => ask(Minutes, { site, from, to, after });

/** Where everybody was in the seconds before the shown frame. */
export const trails = new Map<string, { x: number; y: number }[]>();
effect(() => {
  trails.clear();
  const at = shown.value;
  if (!at) return;
  const from = seconds(at) - 12;
  for (let i = Math.max(0, position.value - 400); i <= position.value; i += 1) {
    const frame = frames.value[i];
    if (!frame || seconds(frame) < from) continue;
    for (const { id, positionM: p } of frame.persons) {
      const trail = trails.get(id) ?? [];
      trail.push(p);
      trails.set(id, trail);
    }
  }
});

// Another site has another past.
effect(() => {
  void siteId.value;
  asked += 1;
  wanted += 1;
  known.value = null;
  frames.value = [];
  start.value = null;
  playing.value = false;
});

/** Shows frame after frame as their times say, until the end; returns what stops it. */
export function play(): () => void {
  if (position.peek() >= frames.peek().length - 1) position.value = 0;
  let at = seconds(shown.peek());
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
