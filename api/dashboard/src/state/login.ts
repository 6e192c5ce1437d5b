// Signing in at an identity provider: OpenID Connect's authorization code with PKCE (RFC 6749, 4.1; RFC 7636). The server changes the code
// for a token, so that this page speaks to nobody else.
import { signal } from '@preact/signals';
import { texts } from '../texts';
import { signIn } from './token';

/** Where the server lets people sign in. */
interface Offer {
  issuer: string;
  authorization_endpoint: string;
  client_id: string;
  scope: string;
  audience: string;
}

/** What this page remembers while its person is at the provider. */
interface Errand {
  state: string;
  verifier: string;
  issuer: string;
  /** The view to come back to. */
  view: string;
}

const PLACE = 'invispose-login';
const page = new URL('.', document.baseURI).href;
const address = new URL('oauth/login', document.baseURI);

/** Null where there is none. */
export const offer = signal<Offer | null>(null);
/** Back from the provider, and not yet signed in. */
export const arriving = signal(false);
export const trouble = signal<string | null>(null);

/** Asks once whether there is one. */
export async function inquire(): Promise<void> {
  if (offer.value) return;
  try {
    const answer = await fetch(address);
    const said = (await answer.json()) as { provider?: Offer | null; detail?: string };
    if (!answer.ok) throw new Error(said.detail);
    offer.value = said.provider ?? null;
  } catch (error) {
    trouble.value = error instanceof Error && error.message ? error.message : texts.signIn.providerAway;
  }
}

const encoded = (bytes: Uint8Array) => btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
const random = () => encoded(crypto.getRandomValues(new Uint8Array(32)));

/** Leaves for the provider. */
export async function leave({ authorization_endpoint, client_id, scope, audience, issuer }: Offer): Promise<void> {
  // Browsers give pages without TLS no hashes, except on this machine.
  if (!isSecureContext) {
    trouble.value = texts.signIn.insecure;
    return;
  }
  const errand: Errand = { state: random(), verifier: random(), issuer, view: location.hash };
  const challenge = encoded(new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(errand.verifier))));
  sessionStorage.setItem(PLACE, JSON.stringify(errand));
  const to = new URL(authorization_endpoint);
  const parameters = {
    response_type: 'code', client_id, redirect_uri: page, scope, audience, state: errand.state, code_challenge: challenge, code_challenge_method: 'S256',
  };
  for (const [name, value] of Object.entries(parameters)) to.searchParams.set(name, value);
  location.assign(to);
}

function remembered(): Errand | null {
  const text = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  try {
    return text === null ? null : (JSON.parse(text) as Errand);
  } catch {
    return null;
  }
}

/** Signs in where the address says that somebody comes from the provider. */
export async function arrive(): Promise<void> {
  const brought = new URLSearchParams(location.search);
  const [code, state, error, issuer] = ['code', 'state', 'error', 'iss'].map((name) => brought.get(name));
  if (!state || !(code || error)) return;
  const errand = remembered();
  // A code is good once: it stays neither in the address nor in the history.
  history.replaceState(null, '', page + (errand?.view ?? location.hash));
  dispatchEvent(new HashChangeEvent('hashchange'));
  // Whoever did not leave from this tab was sent by somebody else (RFC 6749, 10.12), as was who comes from elsewhere (RFC 9207).
  if (!errand || errand.state !== state || (issuer && issuer !== errand.issuer)) {
    trouble.value = texts.signIn.unasked;
    return;
  }
  if (!code) {
    trouble.value = texts.signIn.declined(error ?? '');
    return;
  }
  arriving.value = true;
  try {
    const answer = await fetch(address, { method: 'POST', body: new URLSearchParams({ code, code_verifier: errand.verifier, redirect_uri: page }) });
    const said = (await answer.json()) as { access_token?: string; detail?: string };
    if (!answer.ok || !said.access_token) throw new Error(said.detail ?? `HTTP ${answer.status}`);
    signIn(said.access_token);
  } catch (failure) {
    trouble.value = failure instanceof Error ? failure.message : String(failure);
  }
  arriving.value = false;
}
