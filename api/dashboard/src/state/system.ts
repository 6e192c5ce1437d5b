// The system's account, as the server sends it each second, and what two of them in a row say about rates.
import { computed, signal } from '@preact/signals';
import { SystemMetrics, type SystemMetricsSubscription } from '../api/generated';
import { listen } from './listen';

export type Account = SystemMetricsSubscription['systemMetrics'];

/** Answers kept for the plots. */
const KEPT = 300;

export interface Sample {
  /** Seconds that the server was up: a page that stalls takes answers late. */
  t: number;
  account: Account;
}

/** Oldest first. */
export const samples = signal<Sample[]>([]);
export const system = computed(() => samples.value.at(-1)?.account ?? null);

/** Why there is none. */
export const systemProblem = signal<string | null>(null);

function take(account: Account): void {
  const last = samples.peek().at(-1);
  // A server that was started anew counts from zero.
  const kept = last && account.uptimeSeconds < last.account.uptimeSeconds ? [] : samples.peek().slice(-KEPT + 1);
  samples.value = [...kept, { t: account.uptimeSeconds, account }];
  systemProblem.value = null;
}

listen(SystemMetrics, {}, ({ systemMetrics }) => take(systemMetrics), () => {}, (reason) => { systemProblem.value = reason; });

/** Change per second of a growing count between two samples. */
function rate(before: Sample, after: Sample, count: (account: Account) => number | undefined): number | null {
  const [from, to] = [count(before.account), count(after.account)];
  const seconds = after.t - before.t;
  return from === undefined || to === undefined || seconds <= 0 ? null : (to - from) / seconds;
}

/** Over the last five seconds or so; null before there are two answers. */
export function rateNow(count: (account: Account) => number | undefined): number | null {
  const after = samples.value.at(-1);
  const before = after && samples.value.find((s) => s.t >= after.t - 5.5);
  return after && before && before !== after ? rate(before, after, count) : null;
}
