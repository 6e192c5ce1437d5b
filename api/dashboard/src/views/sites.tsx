import { Plan } from '../parts/plan';
import { arrival } from '../state/live';
import { link } from '../state/route';
import { type Site, siteId, sites } from '../state/sites';
import { texts } from '../texts';

const words = texts.sites;

/** What is configured: rooms, zones and links. */
export function Sites() {
  return (
    <div class="page">
      {sites.value.map((site) => <Place key={site.id} site={site} />)}
      <p class="hint">{words.configured}</p>
    </div>
  );
}

/** Twice the signed area of a polygon, by the shoelace formula, halved and without its sign. */
function area(polygon: Site['zones'][number]['polygonM']): number {
  const twice = polygon.reduce((sum, p, i) => {
    const next = polygon[(i + 1) % polygon.length] ?? p;
    return sum + p.x * next.y - next.x * p.y;
  }, 0);
  return Math.abs(twice) / 2;
}

function Place({ site }: { site: Site }) {
  const { x, y, z } = site.roomM;
  const shown = site.id === siteId.value;
  return (
    <section class="panel place">
      <div>
        <h2>{site.name} <small><code>{site.id}</code></small></h2>
        <p>{words.size(x, y, z)}</p>
        <Plan site={site} frame={shown ? arrival.value?.frame : null} />
        <p><a class="button" href={link('live', site.id)}>{words.show}</a></p>
      </div>
      <div>
        <h3>{words.zones}</h3>
        {site.zones.length === 0 ? <p>{words.noZones}</p> : (
          <table>
            <thead><tr><th scope="col">{words.zone}</th><th scope="col">id</th><th scope="col" class="n">{words.area}</th></tr></thead>
            <tbody>
              {site.zones.map((zone) => (
                <tr key={zone.id}><th scope="row">{zone.name}</th><td><code>{zone.id}</code></td><td class="n">{words.squareMetres(area(zone.polygonM))}</td></tr>
              ))}
            </tbody>
          </table>
        )}
        <h3>{words.links}</h3>
        {site.links.length === 0 ? <p>{words.noLinks}</p> : (
          <div class="wide" tabIndex={0} role="region" aria-label={`${words.links}: ${site.name}`}>
            <table>
              <thead>
                <tr><th scope="col">{words.link}</th><th scope="col" class="n">{words.transmitter}</th><th scope="col" class="n">{words.receiver}</th><th scope="col" class="n">{words.length}</th></tr>
              </thead>
              <tbody>
                {site.links.map(({ id, transmitterM: t, receiverM: r }) => (
                  <tr key={id}>
                    <th scope="row">{id}</th>
                    <td class="n">{words.point(t.x, t.y, t.z)}</td>
                    <td class="n">{words.point(r.x, r.y, r.z)}</td>
                    <td class="n">{words.metres(Math.hypot(t.x - r.x, t.y - r.y, t.z - r.z))}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </div>
    </section>
  );
}
