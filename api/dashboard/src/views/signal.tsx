import { useEffect, useMemo, useRef } from 'preact/hooks';
import { Waterfall } from '../parts/waterfall';
import { type Curves, type Link, curves, links, look } from '../state/signal';
import { site, siteId } from '../state/sites';
import { number, texts } from '../texts';

const words = texts.signal;
/** Rows of a picture: at ten a second, so many tenths of a second. */
const ROWS = 120;
/** Power below the strongest of the last while, decibels, that is still told from nothing. */
const RANGE_DB = 40;

/** What the radios hear. */
export function Signal() {
  const id = siteId.value;
  useEffect(() => (id === undefined ? undefined : look(id)), [id]);
  return (
    <div class="page signal">
      <h1 class="quiet">{texts.views.signal}</h1>
      {links.value.length === 0 && <p class="panel notice">{words.none}</p>}
      {links.value.map((link) => <Heard key={link.linkId} link={link} curve={curves.value.get(link.linkId)} />)}
      <p class="hint">{words.explanation}</p>
    </div>
  );
}

function Heard({ link, curve }: { link: Link; curve: Curves | undefined }) {
  const placed = site.value?.links.some((l) => l.id === link.linkId);
  const [tx, rx, subcarriers] = link.layout;
  const amplitude = useLevel(curve?.amplitude ?? null, false);
  const doppler = useLevel(curve?.doppler ?? null, true);
  const delay = useLevel(curve?.delay?.power ?? null, true);
  return (
    <section class="panel heard" data-link={link.linkId}>
      <div>
        <h2>{link.linkId}</h2>
        <dl>
          <div><dt>{words.packets}</dt><dd>{words.perSecond(link.packetsPerSecond)}</dd></div>
          <div><dt title={words.receivedLong}>{words.received}</dt><dd>{number(link.received * 100)} %</dd></div>
          <div><dt>{words.rssi}</dt><dd>{link.rssiDbm === null ? texts.missing : words.dbm(link.rssiDbm)}</dd></div>
          <div><dt>{words.layout}</dt><dd>{words.antennas(tx ?? 0, rx ?? 0, subcarriers ?? 0)}</dd></div>
          <div><dt>{words.channel}</dt><dd>{link.centerMhz === null ? texts.missing : words.mhz(link.centerMhz, link.bandwidthMhz)}</dd></div>
          <div><dt title={words.placedLong}>{words.placed}</dt><dd>{placed ? words.known : words.unknown}</dd></div>
        </dl>
      </div>
      <figure>
        <figcaption>{words.amplitude}</figcaption>
        <Waterfall label={words.amplitudeOf(link.linkId)} row={amplitude} rows={ROWS} />
      </figure>
      <figure>
        <figcaption>{words.doppler}{curve && ` ${words.span(curve.dopplerSpanHz / 2)}`}</figcaption>
        {curve && !curve.doppler.length ? <p class="hint">{words.onGpu}</p> : <Waterfall label={words.dopplerOf(link.linkId)} row={doppler} rows={ROWS} />}
      </figure>
      <figure>
        <figcaption>{words.delay}{curve?.delay && <Delays of={curve.delay} />}</figcaption>
        {curve && !curve.delay ? <p class="hint">{words.noDelay}</p> : <Waterfall label={words.delayOf(link.linkId)} row={delay} rows={ROWS} />}
      </figure>
    </section>
  );
}

/** From where to where, and how fine. */
function Delays({ of: { power, fromNs, stepNs } }: { of: NonNullable<Curves['delay']> }) {
  return <> {words.delays(fromNs, fromNs + (power.length - 1) * stepNs)} <span title={words.tapLong}>{words.tap(stepNs)}</span></>;
}

/** A row as shares of the strongest value of the last while, which fades. */
function useLevel(row: number[] | null, decibels: boolean): number[] | null {
  const most = useRef(0);
  return useMemo(() => {
    if (!row?.length) return null;
    most.current = Math.max(most.current * 0.98, ...row);
    const top = most.current || 1;
    return row.map((v) => (decibels ? 1 + (10 * Math.log10(Math.max(v, 1e-12) / top)) / RANGE_DB : v / top));
  }, [row]);
}
