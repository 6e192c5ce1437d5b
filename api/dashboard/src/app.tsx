import { useComputed, useSignalEffect } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { connection } from './api/client';
import { Provenance } from './parts/provenance';
import { Lacking, SignIn } from './parts/signin';
import { alerts } from './state/alerts';
import { now } from './state/clock';
import { frame, old, verdict } from './state/live';
import { VIEWS, go, link, view, wantedSite } from './state/route';
import { site, siteId, sites, sitesProblem } from './state/sites';
import { system } from './state/system';
import { dark, nextTheme, theme } from './state/theme';
import { signOut, token, wanted } from './state/token';
import { texts } from './texts';
import { Explore } from './views/explore';
import { History } from './views/history';
import { Live, followNext, followed } from './views/live';
import { Signal } from './views/signal';
import { Sites } from './views/sites';
import { System } from './views/system';

const PAGES = { live: Live, signal: Signal, history: History, sites: Sites, system: System, explore: Explore };

export function App() {
  const help = useRef<HTMLDialogElement>(null);
  const Page = PAGES[view.value];

  useEffect(() => {
    const keys = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.altKey || event.metaKey || target.matches('input, select, textarea')) return;
      const chosen = VIEWS[Number(event.key) - 1];
      if (chosen) go(chosen, wantedSite.value);
      else if (event.key === 't') nextTheme();
      else if (event.key === 'f') followNext();
      else if (event.key === '0') followed.value = null;
      else if (event.key === '?') help.current?.showModal();
      else if (event.key === 's') {
        const at = sites.value.findIndex((s) => s.id === siteId.value);
        go(view.value, sites.value[(at + 1) % sites.value.length]?.id);
      } else return;
      event.preventDefault();
    };
    addEventListener('keydown', keys);
    return () => removeEventListener('keydown', keys);
  }, []);

  useSignalEffect(() => {
    const where = site.value?.name;
    document.title = [texts.views[view.value], where, texts.product].filter(Boolean).join(' · ');
  });

  return (
    <>
      <a class="skip" href="#view" onClick={(e) => { e.preventDefault(); document.getElementById('view')?.focus(); }}>{texts.skip}</a>
      <header class="top">
        <a class="brand" href={link('live', wantedSite.value)}><Mark />{texts.product}</a>
        <nav aria-label={texts.viewsLabel}>
          {VIEWS.map((name) => (
            <a key={name} href={link(name, wantedSite.value)} aria-current={view.value === name ? 'page' : undefined}>{texts.views[name]}</a>
          ))}
        </nav>
        <div class="state">
          {view.value !== 'live' && <Provenance />}
          <SiteChoice />
          <Raised />
          <Health />
          <Wire />
          <button type="button" class="icon" onClick={nextTheme} title={texts.themes[theme.value]} aria-label={texts.themes[theme.value]}>
            {theme.value === 'auto' ? '◐' : dark.value ? '☾' : '☀'}
          </button>
          {token.value && !wanted.value && <button type="button" class="toggle" onClick={signOut}>{texts.signIn.out}</button>}
          <button type="button" class="icon" onClick={() => help.current?.showModal()} title={texts.help.open} aria-label={texts.help.open}>?</button>
        </div>
      </header>
      <SignIn />
      <Lacking />
      <main id="view" tabIndex={-1}>
        {sitesProblem.value && !sites.value.length && !wanted.value && <p class="panel problem" role="alert">{sitesProblem.value}</p>}
        {/* Before anybody has signed in there is nothing to show. */}
        {(!wanted.value || token.value) && <Page />}
      </main>
      <Announcement />
      <dialog ref={help} aria-labelledby="help-title" onClick={(e) => { if (e.target === help.current) help.current?.close(); }}>
        <h2 id="help-title">{texts.help.title}</h2>
        <dl>{texts.help.keys.map(([key, what]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{what}</dd></div>)}</dl>
        <button type="button" onClick={() => help.current?.close()}>{texts.help.close}</button>
      </dialog>
    </>
  );
}

/** Waves that meet a person. */
function Mark() {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <circle cx="12" cy="6" r="2.6" />
      <path d="M12 9v6M12 15l-3 6M12 15l3 6M7.5 12.5 12 10.5l4.5 2" />
      <path class="wave" d="M3.5 4.5a11 11 0 0 0 0 12M20.500 4.500a11 11 0 0 1 0 12" />
    </svg>
  );
}

function SiteChoice() {
  if (!sites.value.length) return null;
  if (sites.value.length === 1) return <span class="site">{site.value?.name}</span>;
  return (
    <label class="site">
      <span class="quiet">{texts.site}</span>
      <select value={siteId.value} onChange={(e) => go(view.value, e.currentTarget.value)}>
        {sites.value.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
      </select>
    </label>
  );
}

function Health() {
  const account = system.value;
  if (!account || connection.value.state !== 'connected') return null;
  const issues = account.health.issues;
  const bad = account.status !== 'healthy';
  return (
    <a class={`lamp ${bad ? 'bad' : 'good'}`} href={link('system', wantedSite.value)} title={issues.join('\n')}>
      {bad ? texts.health.bad(issues.length) : texts.health.good}
    </a>
  );
}

/** Alerts that nobody has seen yet. */
function Raised() {
  const open = alerts.value.filter((a) => a.status === 'OPEN').length;
  return open ? <a class="lamp bad raised" href={link('live', wantedSite.value)}>{texts.alerts.open(open)}</a> : null;
}

function Wire() {
  const words = useComputed(() => {
    const wire = connection.value;
    if (wanted.value && wire.state !== 'connected') return texts.connection.unknown;
    return wire.state === 'waiting'
      ? texts.connection.waiting(Math.max(0, wire.until - now.value) / 1000)
      : texts.connection[wire.state];
  });
  const { state } = connection.value;
  return <span class={`lamp wire ${state === 'connected' ? 'good' : 'bad'}`} data-connection={state} role="status">{words}</span>;
}

/** Said by screen readers when it changes, at most every few seconds. */
function Announcement() {
  const [said, say] = useState('');
  const words = useComputed(() => {
    if (old.value) return texts.announcement.old;
    const newest = frame.value;
    const v = verdict.value;
    if (!newest || v === null) return texts.verdict.waiting;
    const head = v === 'persons' ? texts.verdict.persons(newest.persons.length) : texts.verdict[v];
    const people = newest.persons.map(({ id, activity, zone }) =>
      texts.announcement.person(id, activity ? texts.person.activities[activity] : texts.person.noActivity, zone?.name ?? texts.person.noZone));
    return texts.announcement.frame(head, people);
  });
  useEffect(() => {
    const timer = setInterval(() => say(words.peek()), 4_000);
    return () => clearInterval(timer);
  }, []);
  return <div class="quiet" aria-live="polite">{said}</div>;
}
