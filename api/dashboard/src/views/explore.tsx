import { useState } from 'preact/hooks';
import { ask } from '../api/client';
import type { Operation } from '../api/generated';
import { siteId } from '../state/sites';
import { texts } from '../texts';
import { examples } from './examples';

const words = texts.explore;

/** Queries to begin with; GraphiQL does the rest. */
export function Explore() {
  const site = siteId.value ?? '';
  return (
    <div class="page">
      <section class="panel">
        <h1>{words.title}</h1>
        <p>{words.intro}</p>
        <p><a class="button" href="graphiql">{words.blank}</a></p>
      </section>
      <div class="grid examples">
        {examples(site).map((example) => <Example key={example.title} {...example} />)}
      </div>
    </div>
  );
}

function Example({ title, purpose, query }: ReturnType<typeof examples>[number]) {
  const [answer, setAnswer] = useState<string>();
  const [copied, setCopied] = useState(false);
  const run = async () => {
    try {
      setAnswer(JSON.stringify(await ask(query as Operation<unknown, object>, {}), null, 2));
    } catch (error) {
      setAnswer(error instanceof Error ? error.message : String(error));
    }
  };
  const copy = async () => {
    await navigator.clipboard.writeText(query).catch(() => {});
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <section class="panel example">
      <h2>{title}</h2>
      <p>{purpose}</p>
      <pre tabIndex={0}>{query}</pre>
      <p class="actions">
        <a class="button" href={`graphiql?query=${encodeURIComponent(query)}`}>{words.open}</a>
        {!query.startsWith('subscription') && <button type="button" onClick={() => void run()}>{words.run}</button>}
        <button type="button" onClick={() => void copy()}>{copied ? words.copied : words.copy}</button>
        {answer !== undefined && <button type="button" onClick={() => setAnswer(undefined)}>{words.close}</button>}
      </p>
      {answer !== undefined && <pre class="answer" tabIndex={0} aria-label={words.answer}>{answer}</pre>}
    </section>
  );
}
