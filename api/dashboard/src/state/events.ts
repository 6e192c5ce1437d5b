// What happened at the chosen site: what the server has kept of the last minutes, and what comes.
import { effect, signal } from '@preact/signals';
import { ask, connection } from '../api/client';
import { Events, type HappeningFragment, Happenings } from '../api/generated';
import { listen } from './listen';
import { siteId } from './sites';

export type Happening = HappeningFragment;

/** Events held here. */
const KEPT = 200;
const BEFORE_MS = 10 * 60_000;

/** Newest first. */
export const happenings = signal<Happening[]>([]);

function add(some: Happening[]): void {
  const known = new Map(happenings.peek().map((e) => [e.id, e]));
  for (const event of some) known.set(event.id, event);
  // Identifiers are in the order of publication.
  happenings.value = [...known.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, KEPT);
}

/** All events of a span of time, the oldest first, as many as `most`; `more` where there are others after them. */
export async function eventsOf(site: string, from: string, to: string | null, most: number): Promise<{ found: Happening[]; more: boolean }> {
  const found: Happening[] = [];
  let after: string | null = null;
  do {
    const { events }: Awaited<ReturnType<typeof page>> = await page(site, from, to, after);
    found.push(...events.edges.map((e) => e.node));
    after = events.pageInfo.hasNextPage ? events.pageInfo.endCursor : null;
  } while (after !== null && found.length < most);
  return { found, more: after !== null };
}
const page = (site: string, from: string, to: string | null, after: string | null) => ask(Events, { site, from, to, after });

async function recent(site: string): Promise<void> {
  try {
    const { found } = await eventsOf(site, new Date(Date.now() - BEFORE_MS).toISOString(), null, 5_000);
    if (siteId.peek() === site) add(found);
  } catch {
    // A server that keeps no events still tells of those that come.
  }
}

effect(() => {
  const site = siteId.value;
  happenings.value = [];
  if (site === undefined) return;
  return listen(Happenings, { site }, ({ events }) => add([events]), () => void recent(site));
});

// After each lost connection too.
effect(() => {
  const site = siteId.value;
  if (connection.value.state === 'connected' && site !== undefined) void recent(site);
});
