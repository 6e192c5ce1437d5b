// Who this is to the server: a token that lives as long as the tab.
import { signal } from '@preact/signals';

const PLACE = 'invispose-token';

export const token = signal(sessionStorage.getItem(PLACE) ?? '');
/** The server wants to know. */
export const wanted = signal(false);
/** What the server said that this token may not; each once. */
export const lacking = signal<string[]>([]);

export function signIn(given: string): void {
  sessionStorage.setItem(PLACE, given);
  wanted.value = false;
  lacking.value = [];
  token.value = given;
}

/** Forgets the token, and with it all that it let this page see. */
export function signOut(): void {
  sessionStorage.removeItem(PLACE);
  location.reload();
}

/** The server does not take this one, or no longer. */
export function refused(given: string): void {
  // What was asked before somebody signed in may be answered after it.
  if (given === token.peek()) wanted.value = true;
}

/** The server takes it, but not for this. */
export function lacks(words: string): void {
  if (!lacking.value.includes(words)) lacking.value = [...lacking.value, words];
}

export const authorization = (): Record<string, string> => (token.value ? { authorization: `Bearer ${token.value}` } : {});
