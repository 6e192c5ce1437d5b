// The way to the server: one WebSocket for what flows, HTTP for what is asked once. Addresses are relative to the page.
import { signal } from '@preact/signals';
import { createClient } from 'graphql-ws';
import { authorization, lacks, refused, token, wanted } from '../state/token';
import type { Operation } from './generated';

export type Connection =
  | { state: 'connecting' | 'connected' }
  /** `until`: when the next attempt is made, in `performance.now()`. */
  | { state: 'waiting'; until: number };

export const connection = signal<Connection>({ state: 'connecting' });

const LONGEST_WAIT_MS = 15_000;
/** As graphql-transport-ws closes a socket whose client is not let in, or no longer. */
const FORBIDDEN = 4403;

const http = new URL('graphql', document.baseURI).href;
const socket = new URL('graphql/ws', document.baseURI);
socket.protocol = socket.protocol.replace('http', 'ws');

/** Waits twice as long after each failure, and a random share less, so that a wall of screens does not return in one instant. */
async function wait(retries: number): Promise<void> {
  const longest = Math.min(500 * 2 ** retries, LONGEST_WAIT_MS);
  const ms = longest * (0.5 + Math.random() / 2);
  connection.value = { state: 'waiting', until: performance.now() + ms };
  await new Promise<void>((resolve) => {
    const over = () => {
      // Without another token the next attempt would end like the last.
      if (wanted.value) return;
      clearTimeout(timer);
      removeEventListener('online', over);
      stop();
      resolve();
    };
    const timer = setTimeout(over, ms);
    addEventListener('online', over);
    let first = true;
    const stop = token.subscribe(() => {
      if (!first) over();
      first = false;
    });
  });
}

const client = createClient({
  url: socket.href,
  retryAttempts: Infinity,
  shouldRetry: () => true,
  retryWait: wait,
  connectionParams: () => {
    brought = token.peek();
    return brought ? { token: brought } : undefined;
  },
  // A connection that died in silence is noticed by its missing answer.
  keepAlive: 5_000,
  on: {
    connecting: () => { connection.value = { state: 'connecting' }; },
    connected: () => { connection.value = { state: 'connected' }; },
    ping: (received) => {
      if (!received) silence = setTimeout(() => client.terminate(), 5_000);
    },
    pong: (received) => {
      if (received) clearTimeout(silence);
    },
    closed: (event) => {
      clearTimeout(silence);
      if ((event as CloseEvent).code === FORBIDDEN) refused(brought);
    },
  },
});
/** The token that the WebSocket was opened with. */
let brought = '';
let silence: ReturnType<typeof setTimeout> | undefined;

function words(errors: unknown): string {
  if (Array.isArray(errors)) return errors.map(words).join('; ');
  if (errors && typeof errors === 'object') {
    const { message, reason } = errors as { message?: string; reason?: string };
    return message || reason || 'the connection ended';
  }
  return String(errors);
}

/** What the server answered, for people. Whether it says that this token may not is remembered. */
function heard(errors: unknown): string {
  const said = words(errors);
  if (forbidden(errors)) lacks(said);
  return said;
}

const forbidden = (errors: unknown): boolean =>
  Array.isArray(errors) ? errors.some(forbidden) : (errors as { extensions?: { code?: string } } | null)?.extensions?.code === 'FORBIDDEN';

/** Asks REST, below `api/v1/`. Fails with the server's words. */
export async function rest<Answer>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown, tag?: string): Promise<Answer> {
  const given = token.peek();
  const answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), {
    method,
    headers: { ...authorization(), ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(tag === undefined ? {} : { 'if-match': tag }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (answer.status === 401) refused(given);
  const text = await answer.text();
  const said = (text ? JSON.parse(text) : null) as Answer;
  if (!answer.ok) throw new Error((said as { detail?: string } | null)?.detail ?? `HTTP ${answer.status}`);
  return said;
}

/** Saves what is at an address of this server as a file of this name. */
export async function save(path: string, name: string): Promise<void> {
  const answer = await fetch(new URL(path, document.baseURI), { headers: authorization() });
  if (!answer.ok) throw new Error(((await answer.json()) as { detail?: string }).detail ?? `HTTP ${answer.status}`);
  const file = URL.createObjectURL(await answer.blob());
  Object.assign(document.createElement('a'), { href: file, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(file), 60_000);
}

/** Asks once. Fails with the server's words. */
export async function ask<Data, Variables>(operation: Operation<Data, Variables>, variables: Variables): Promise<Data> {
  const given = token.peek();
  const answer = await fetch(http, {
    method: 'POST',
    headers: { ...authorization(), 'content-type': 'application/json', accept: 'application/graphql-response+json' },
    body: JSON.stringify({ query: operation, variables }),
  });
  if (answer.status === 401) refused(given);
  const body = (await answer.json()) as { data?: Data; errors?: unknown };
  if (body.errors || !body.data) throw new Error(heard(body.errors ?? `HTTP ${answer.status}`));
  return body.data;
}

/**
 * Follows a subscription through lost connections until the returned function is called, or the server ends it. `failed` is told whether asking
 * again could help.
 */
export function follow<Data, Variables extends Record<string, unknown>>(
  operation: Operation<Data, Variables>,
  variables: Variables,
  next: (data: Data) => void,
  failed: (reason: string, hopeless: boolean) => void,
  ended: () => void = () => {},
): () => void {
  return client.subscribe<Data>(
    { query: operation, variables },
    {
      next: (answer) => {
        if (answer.data) next(answer.data);
        else if (answer.errors) failed(heard(answer.errors), forbidden(answer.errors));
      },
      error: (error) => failed(heard(error), forbidden(error)),
      complete: ended,
    },
  );
}
