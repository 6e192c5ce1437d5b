// Who this is to the server: a token that lives as long as the tab.
import { signal } from '@preact/signals';

const PLACE = 'invispose-token';

export const token = signal(sessionStorage.getItem(PLACE) ?? '');
/** The server wants to know. */
export const wanted = signal(false);

export function signIn(given: string): void {
  sessionStorage.setItem(PLACE, given);
  wanted.value = false;
  token.value = given;
}

/** The server does not take it, or no longer. */
export function refused(): void {
  wanted.value = true;
}

export const authorization = (): Record<string, string> => (token.value ? { authorization: `Bearer ${token.value}` } : {});
