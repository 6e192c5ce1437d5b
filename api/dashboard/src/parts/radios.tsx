import { useEffect, useState } from 'preact/hooks';
import { ask } from '../api/client';
import { Routers, type RoutersQuery } from '../api/generated';
import { links, look } from '../state/signal';
import { type Site, siteId } from '../state/sites';
import { clock, texts } from '../texts';

const words = texts.sites;
type Router = RoutersQuery['routers'][number];

/** Links, where they are and whether they are heard, and the radios that were written down. */
export function Radios({ site }: { site: Site }) {
  const shown = site.id === siteId.value;
  const [routers, setRouters] = useState<Router[]>([]);
  // Those that are heard are told of the chosen site only.
  useEffect(() => (shown ? look(site.id, false) : undefined), [site.id, shown]);
  useEffect(() => {
    let gone = false;
    ask(Routers, { site: site.id }).then((found) => { if (!gone) setRouters(found.routers); }, () => {});
    return () => { gone = true; };
  }, [site.id]);
  const heard = shown ? links.value : [];
  const unplaced = heard.filter((h) => !site.links.some((l) => l.id === h.linkId));
  const hearing = (id: string) => {
    const link = heard.find((h) => h.linkId === id);
    if (!link) return shown ? words.notHeard : texts.missing;
    return words.heard(link.packetsPerSecond, link.rssiDbm, clock(link.time).slice(0, 8));
  };
  return (
    <>
      <h3>{words.links}</h3>
      {site.links.length === 0 && <p>{words.noLinks}</p>}
      {site.links.length + unplaced.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-label={`${words.links}: ${site.name}`}>
          <table class="links">
            <thead>
              <tr><th scope="col">{words.link}</th><th scope="col" class="n">{words.transmitter}</th><th scope="col" class="n">{words.receiver}</th><th scope="col" class="n">{words.length}</th><th scope="col">{words.lastHeard}</th></tr>
            </thead>
            <tbody>
              {site.links.map(({ id, transmitterM: t, receiverM: r }) => (
                <tr key={id}>
                  <th scope="row">{id}</th>
                  <td class="n">{words.point(t.x, t.y, t.z)}</td>
                  <td class="n">{words.point(r.x, r.y, r.z)}</td>
                  <td class="n">{words.metres(Math.hypot(t.x - r.x, t.y - r.y, t.z - r.z))}</td>
                  <td>{hearing(id)}</td>
                </tr>
              ))}
              {unplaced.map(({ linkId }) => (
                <tr key={linkId}><th scope="row">{linkId}</th><td colSpan={3}>{words.noPlace}</td><td>{hearing(linkId)}</td></tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {routers.length > 0 && (
        <>
          <h3>{words.routers}</h3>
          <ul class="routers">
            {routers.map(({ id, settings: { name, device, address } }) => {
              // Links are named after the addresses of their radios.
              const link = address ? heard.find((h) => h.linkId.toLowerCase().includes(address.toLowerCase())) : undefined;
              return (
                <li key={id}>
                  <b>{name}</b> <small>{[device, address].filter(Boolean).join(' · ')}</small>{' '}
                  <span class={`lamp ${link ? 'good' : 'idle'}`}>{link ? hearing(link.linkId) : words.notHeard}</span>
                </li>
              );
            })}
          </ul>
        </>
      )}
    </>
  );
}
