// A subscription whose server may end it, with what was kept before it.
import { follow } from '../api/client';
import type { Operation } from '../api/generated';

const SHORTEST_MS = 1_000;
const LONGEST_MS = 60_000;

/** Follows until the returned function is called. Where the server ends the subscription, because this browser was too slow, `again` asks for what was missed. */
export function listen<Data, Variables extends Record<string, unknown>>(
  operation: Operation<Data, Variables>,
  variables: Variables,
  next: (data: Data) => void,
  again: () => void = () => {},
  failed: (reason: string) => void = () => {},
): () => void {
  let end = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gone = false;
  let wait = SHORTEST_MS;
  const start = () => {
    const anew = () => {
      clearTimeout(timer);
      if (!gone) timer = setTimeout(() => { start(); again(); }, wait);
      wait = Math.min(2 * wait, LONGEST_MS);
    };
    const heard = (data: Data) => {
      wait = SHORTEST_MS;
      next(data);
    };
    end = follow(operation, variables, heard, (reason, hopeless) => { failed(reason); if (!hopeless) anew(); }, anew);
  };
  start();
  return () => {
    gone = true;
    clearTimeout(timer);
    end();
  };
}
