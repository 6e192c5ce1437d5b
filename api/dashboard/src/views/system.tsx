import { useComputed } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { Plot } from '../parts/plot';
import { arrival, moments } from '../state/live';
import { type Account, type Sample, rateNow, samples, system, systemProblem } from '../state/system';
import { clock, duration, number, short, texts } from '../texts';

const words = texts.system;
const STAGE_COLOURS = ['zone-0', 'zone-1', 'zone-2', 'zone-3', 'accent', 'muted', 'live', 'alarm'];

export function System() {
  const account = system.value;
  if (!account) return <p class="panel notice">{systemProblem.value ?? words.waiting}</p>;
  return (
    <div class="system page">
      <Figures account={account} />
      <Flow account={account} />
      <Sources account={account} />
      <Plots account={account} />
      <Here />
      <Parts account={account} />
      <p class="hint">{texts.product} {account.version} · <a href="metrics">{words.metrics}</a></p>
    </div>
  );
}

const optional = (value: number | null, digits = 0) => (value === null ? texts.missing : number(value, digits));

function Figure({ name, children, unit, bad }: { name: string; children: ComponentChildren; unit?: string; bad?: boolean }) {
  return (
    <div class={`panel figure ${bad ? 'bad' : ''}`}>
      <dt>{name}</dt>
      <dd>{children}{unit && <small> {unit}</small>}</dd>
    </div>
  );
}

function Figures({ account }: { account: Account }) {
  return (
    <dl class="grid figures">
      <Figure name={words.status} bad={account.status !== 'healthy'}>{account.status}</Figure>
      <Figure name={words.frames} unit={words.framesUnit}>{optional(account.currentFps, 1)}</Figure>
      <Figure name={words.latency} unit={words.latencyUnit}>{optional(account.averageLatencyMs)}</Figure>
      <Figure name={words.persons}>{number(account.totalPersonsTracked)}</Figure>
      <Figure name={words.routers}>{number(account.activeRouters)}</Figure>
      <Figure name={words.memory} unit={words.memoryUnit}>{optional(account.memoryUsageMb)}</Figure>
      {account.gpuUsagePercent !== null && <Figure name={words.gpu} unit="%">{number(account.gpuUsagePercent)}</Figure>}
      <Figure name={words.device}><span class="words">{account.device ?? texts.missing}</span></Figure>
      <Figure name={words.uptime}>{duration(account.uptimeSeconds)}</Figure>
    </dl>
  );
}

/** What each stage takes, gives and waits for. */
function Flow({ account }: { account: Account }) {
  const of = (name: string, what: 'taken' | 'given' | 'busySeconds') =>
    rateNow((a) => a.stages.find((s) => s.name === name)?.[what]);
  const rate = (value: number | null) => (value === null ? texts.missing : words.perSecond(value));
  return (
    <section class="panel">
      <h2>{words.stages}</h2>
      <div class="wide" tabIndex={0} role="region" aria-label={words.stages}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.stage}</th>
              <th scope="col" class="n">{words.taken}</th>
              <th scope="col" class="n">{words.given}</th>
              <th scope="col" class="n">{words.queued}</th>
              <th scope="col" title={words.busyLong}>{words.busy}</th>
              <th scope="col" class="n">{words.total}</th>
            </tr>
          </thead>
          <tbody>
            {inOrder(account).map(({ name, given, queued }) => {
              const busy = of(name, 'busySeconds');
              return (
                <tr key={name}>
                  <th scope="row">{name}</th>
                  <td class="n">{rate(of(name, 'taken'))}</td>
                  <td class="n">{rate(of(name, 'given'))}</td>
                  <td class="n">{number(queued)}</td>
                  <td><span class="bar"><span style={{ width: `${Math.min(100, (busy ?? 0) * 100)}%` }} /></span> {busy === null ? texts.missing : `${number(busy * 100)} %`}</td>
                  <td class="n">{short(given)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** The way of a frame; stages that are not known here come last. */
const ORDER = ['capture', 'assembly', 'cleanup', 'presence', 'inference', 'tracking', 'ring'];
function inOrder({ stages }: Account): Account['stages'] {
  const place = (name: string) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  return [...stages].sort((a, b) => place(a.name) - place(b.name));
}

function Sources({ account }: { account: Account }) {
  return (
    <section class="panel">
      <h2>{words.sources}</h2>
      {account.sources.length === 0 && <p>{words.noSources}</p>}
      <div class="wide" tabIndex={0} role="region" aria-label={words.sources}>
        <table>
          <thead>
            <tr>
              <th scope="col">{words.source}</th>
              <th scope="col">{words.kind}</th>
              <th scope="col" class="n">{words.received}</th>
              <th scope="col" class="n">{words.accepted}</th>
              <th scope="col" class="n">{words.dropped}</th>
              <th scope="col" class="n" title={words.siblingsLong}>{words.siblings}</th>
              <th scope="col" class="n">{words.rejected}</th>
              <th scope="col" class="n">{words.lastPacket}</th>
            </tr>
          </thead>
          <tbody>
            {account.sources.map((source, i) => {
              const rate = rateNow((a) => a.sources[i]?.received);
              const rejected = source.rejected.reduce((sum, r) => sum + r.count, 0);
              return (
                <tr key={source.uri}>
                  <th scope="row" class="uri">{source.uri}</th>
                  <td><span class={`badge ${source.kind.toLowerCase()}`}>{texts.sources[source.kind]}</span> {source.running ? words.running : words.ended}</td>
                  <td class="n">{short(source.received)}<br /><small>{rate === null ? texts.missing : words.perSecond(rate)}</small></td>
                  <td class="n">{short(source.accepted)}</td>
                  <td class={`n ${source.dropped ? 'warn' : ''}`}>{short(source.dropped)}</td>
                  <td class="n">{short(source.siblings)}</td>
                  <td class={`n ${rejected ? 'warn' : ''}`}>{short(rejected)}{source.rejected.filter((r) => r.count).map((r) => <small key={r.reason}><br />{r.reason}: {short(r.count)}</small>)}</td>
                  <td class="n">{source.lastTime ? clock(source.lastTime) : texts.missing}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Plots({ account }: { account: Account }) {
  const names = inOrder(account).map((s) => s.name);
  const all = samples.value;
  const t = all.map((s) => s.t);
  const until = t.at(-1) ?? 0;
  const time = (at: number) => texts.ago(until - at);
  const busy = (name: string) => all.map((sample, i) => {
    const before = all[i - 1];
    const seconds = (s: Sample | undefined) => s?.account.stages.find((x) => x.name === name)?.busySeconds;
    const [from, to] = [seconds(before), seconds(sample)];
    return before && from !== undefined && to !== undefined ? ((to - from) / (sample.t - before.t)) * 100 : null;
  });
  return (
    <div class="grid plots">
      <section class="panel">
        <h2>{words.plotFrames}</h2>
        <Plot label={words.plotFrames} height={150} time={time} lines={[{ label: words.frames, colour: 'accent', fill: true }]} data={[t, all.map((s) => s.account.currentFps)]} />
      </section>
      <section class="panel">
        <h2>{words.plotLatency}</h2>
        <Plot label={words.plotLatency} height={150} time={time} lines={[{ label: words.latency, colour: 'replay', fill: true }]} data={[t, all.map((s) => s.account.averageLatencyMs)]} />
      </section>
      <section class="panel">
        <h2>{words.plotBusy}</h2>
        <Plot
          label={words.plotBusy}
          height={150}
          time={time}
          least={5}
          lines={names.map((label, i) => ({ label, colour: STAGE_COLOURS[i % STAGE_COLOURS.length] ?? 'accent' }))}
          data={[t, ...names.map(busy)]}
        />
      </section>
    </div>
  );
}

/** Upper edges of the histogram's columns, milliseconds; the last column has none. */
const EDGES = [10, 20, 30, 40, 50, 60, 80, 100, 150, 200, 500];

/** What came to this browser within the last minute. */
function Here() {
  const shown = useComputed(() => {
    void arrival.value;
    const processing = moments.map((m) => m.processing).sort((a, b) => a - b);
    const latency = moments.flatMap((m) => m.latency ?? []).sort((a, b) => a - b);
    const quantile = (sorted: number[], q: number) => sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? NaN;
    const quantiles = (sorted: number[]) => (sorted.length ? words.milliseconds([0.5, 0.99, 1].map((q) => quantile(sorted, q))) : null);
    const columns = [...EDGES, Infinity].map((edge, i) => processing.filter((ms) => ms < edge && ms >= (EDGES[i - 1] ?? 0)).length);
    return { count: processing.length, processing: quantiles(processing), latency: quantiles(latency), columns };
  }).value;
  const most = Math.max(1, ...shown.columns);
  return (
    <section class="panel">
      <h2>{words.here}</h2>
      <div class="here">
        <dl>
          <div><dt>{words.received60}</dt><dd>{number(shown.count)}</dd></div>
          <div><dt>{words.processing} <small>{words.quantiles}</small></dt><dd>{shown.processing ?? texts.missing}</dd></div>
          <div><dt>{words.toBrowser} <small>{words.quantiles}</small></dt><dd>{shown.latency ?? words.toBrowserUnknown}</dd></div>
        </dl>
        <div class="histogram" role="img" aria-label={words.histogram}>
          {shown.columns.map((count, i) => (
            <div key={i} title={number(count)}>
              <span style={{ height: `${(count / most) * 100}%` }} />
              <small>{i < EDGES.length ? `<${EDGES[i]}` : `≥${EDGES.at(-1)}`}</small>
            </div>
          ))}
        </div>
      </div>
    </section>
  );
}

function Parts({ account }: { account: Account }) {
  const { issues, components } = account.health;
  return (
    <section class="panel">
      <h2>{words.components}</h2>
      {issues.length > 0 ? <ul class="issues">{issues.map((issue) => <li key={issue}>{issue}</li>)}</ul> : <p>{words.noIssues}</p>}
      <ul class="parts">
        {components.map(({ name, status, detail }) => (
          <li key={name}><span class={`lamp ${status === 'unhealthy' ? 'bad' : status === 'healthy' ? 'good' : 'idle'}`}>{status}</span> {name}{detail && <small> {detail}</small>}</li>
        ))}
      </ul>
    </section>
  );
}
