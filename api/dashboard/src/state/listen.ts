// A subscription whose server may end it, with what was kept before it.
import { follow } from '../api/client';
import type { Operation } from '../api/generated';

/** Follows until the returned function is called. Where the server ends the subscription, because this browser was too slow, `again` asks for what was missed. */
export function listen<Data, Variables extends Record<string, unknown>>(
  operation: Operation<Data, Variables>,
  variables: Variables,
  next: (data: Data) => void,
  again: () => void,
): () => void {
  let end = () => {};
  let timer: ReturnType<typeof setTimeout> | undefined;
  let gone = false;
  const start = () => {
    const anew = () => {
      clearTimeout(timer);
      if (!gone) timer = setTimeout(() => { start(); again(); }, 1_000);
    };
    end = follow(operation, variables, next, anew, anew);
  };
  start();
  return () => {
    gone = true;
    clearTimeout(timer);
    end();
  };
}
