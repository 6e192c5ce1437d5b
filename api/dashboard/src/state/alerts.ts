// Alerts of the chosen site that are not over, and what may be said about them.
import { effect, signal } from '@preact/signals';
import { ask, connection } from '../api/client';
import { Acknowledge, AlertChanges, Alerts, type RaisedFragment, Resolve } from '../api/generated';
import { listen } from './listen';
import { siteId } from './sites';

export type Alert = RaisedFragment;

/** Newest first. */
export const alerts = signal<Alert[]>([]);

/** Changes that were heard while an answer is waited for, which may be older than they are. */
const waiting = new Set<Alert[]>();

function changed(before: Alert[], changes: Alert[]): Alert[] {
  const known = new Map([...before, ...changes].map((a) => [a.id, a]));
  return [...known.values()].filter((a) => a.status !== 'RESOLVED').sort((a, b) => (a.id < b.id ? 1 : -1));
}

function take(some: Alert[]): void {
  for (const heard of waiting) heard.push(...some);
  alerts.value = changed(alerts.peek(), some);
}

async function load(site: string): Promise<void> {
  const heard: Alert[] = [];
  waiting.add(heard);
  try {
    const { alerts: found } = await ask(Alerts, { site });
    if (siteId.peek() === site) alerts.value = changed(found, heard);
  } catch {
    // A server that keeps no alerts has none to show.
  } finally {
    waiting.delete(heard);
  }
}

effect(() => {
  const site = siteId.value;
  alerts.value = [];
  if (site === undefined) return;
  return listen(AlertChanges, { site }, ({ alerts: alert }) => take([alert]), () => void load(site));
});
effect(() => {
  const site = siteId.value;
  if (connection.value.state === 'connected' && site !== undefined) void load(site);
});

export const acknowledge = async (id: string, by: string) => take([(await ask(Acknowledge, { id, by })).acknowledgeAlert]);
export const resolve = async (id: string, by: string) => take([(await ask(Resolve, { id, by })).resolveAlert]);

const KEY = 'invispose.name';
/** Whoever acknowledges says who they are; remembered by this browser. */
export const name = signal(stored());
function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? '';
  } catch {
    return '';
  }
}
effect(() => {
  try {
    localStorage.setItem(KEY, name.value);
  } catch {
    // Private windows may refuse.
  }
});
