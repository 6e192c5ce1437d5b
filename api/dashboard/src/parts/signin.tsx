import { useEffect } from 'preact/hooks';
import { arriving, inquire, leave, offer, trouble } from '../state/login';
import { lacking, signIn, signOut, token, wanted } from '../state/token';
import { texts } from '../texts';
import { Words } from './words';

const words = texts.signIn;

/** Asks who this is, where the server wants to know. */
export function SignIn() {
  if (arriving.value) return <p class="panel signin" role="status">{words.arriving}</p>;
  return wanted.value ? <Form /> : null;
}

function Form() {
  useEffect(() => { void inquire(); }, []);
  const provider = offer.value;
  return (
    <section class="panel signin" aria-labelledby="signin-title">
      <h2 id="signin-title">{words.title}</h2>
      {provider && (
        <button type="button" class="provider" onClick={() => void leave(provider)}>{words.provider(new URL(provider.issuer).host)}</button>
      )}
      <form
        onSubmit={(e) => {
          e.preventDefault();
          const given = new FormData(e.currentTarget).get('token');
          if (typeof given === 'string' && given.trim()) signIn(given.trim());
        }}
      >
        <label>{words.token} <input name="token" type="password" autocomplete="off" required /></label>
        <button type="submit">{words.open}</button>
      </form>
      {trouble.value !== null && <p class="problem" role="alert">{trouble.value}</p>}
      <p class="hint" role="status"><Words of={token.value ? words.refused : words.how} /></p>
    </section>
  );
}

/** What the token does not let this page see. */
export function Lacking() {
  if (!lacking.value.length || wanted.value) return null;
  return (
    <section class="panel lacking" role="alert">
      <p>{words.lacking}</p>
      <ul>{lacking.value.map((said) => <li key={said}>{said}</li>)}</ul>
      {token.value && <button type="button" onClick={signOut}>{words.another}</button>}
    </section>
  );
}
