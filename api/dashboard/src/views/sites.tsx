import { useEffect, useState } from 'preact/hooks';
import { Calibration } from '../parts/calibration';
import { Models } from '../parts/models';
import { Plan } from '../parts/plan';
import { Radios } from '../parts/radios';
import { arrival } from '../state/live';
import { link } from '../state/route';
import { type Site, siteId, sites } from '../state/sites';
import { type Point, type ZoneDocument, area, corners, drawnZones, removeZone, snap, storeZone, written } from '../state/zones';
import { texts } from '../texts';

const words = texts.sites;

/** Rooms, links and zones, what they were taught, and the networks that look at them; zones can be drawn. */
export function Sites() {
  return (
    <div class="page">
      {sites.value.map((site) => <Place key={site.id} site={site} />)}
      <Models />
      <p class="hint">{words.configured}</p>
    </div>
  );
}

function Place({ site }: { site: Site }) {
  const { x, y, z } = site.roomM;
  const shown = site.id === siteId.value;
  const [draft, setDraft] = useState<Point[] | null>(null);
  const [calibrating, setCalibrating] = useState(false);
  const room = x > 0 && y > 0;
  return (
    <section class="panel place" data-site={site.id}>
      <div>
        <h2>{site.name} <small><code>{site.id}</code></small></h2>
        <p>{room ? words.size(x, y, z) : words.noRoom}</p>
        {room && (
          <Plan
            site={site}
            frame={shown ? arrival.value?.frame : null}
            {...(draft ? { draft, onPoint: (p: Point) => setDraft((before) => [...(before ?? []), snap(p, site.roomM)]) } : {})}
          />
        )}
        <p class="row">
          <a class="button" href={link('live', site.id)}>{words.show}</a>
          {room && draft === null && <button type="button" class="draw" onClick={() => setDraft([])}>{words.draw}</button>}
        </p>
        {draft && <Drawing site={site} draft={draft} onDraft={setDraft} />}
      </div>
      <div>
        <Zones site={site} />
        <Radios site={site} />
        <details class="calibration" onToggle={(e) => setCalibrating(e.currentTarget.open)}>
          <summary>{texts.calibration.title}</summary>
          {calibrating && <Calibration site={site.id} />}
        </details>
      </div>
    </section>
  );
}

/** A zone in the making: by mouse on the plan, or by its corners as text. */
function Drawing({ site, draft, onDraft }: { site: Site; draft: Point[]; onDraft: (draft: Point[] | null) => void }) {
  const [name, setName] = useState('');
  const [problem, setProblem] = useState<string>();
  const store = async () => {
    try {
      await storeZone(site.id, name, draft);
      onDraft(null);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <form class="drawing" onSubmit={(e) => { e.preventDefault(); void store(); }}>
      <p class="hint">{words.drawHint}</p>
      <label>{words.name} <input type="text" name="name" maxLength={200} required value={name} onInput={(e) => setName(e.currentTarget.value)} /></label>
      <label>{words.corners} <input
        key={written(draft)}
        type="text"
        name="corners"
        defaultValue={written(draft)}
        onChange={(e) => {
          const given = corners(e.currentTarget.value);
          setProblem(given ? undefined : words.badCorners);
          if (given) onDraft(given.map((p) => snap(p, site.roomM)));
        }}
      /></label>
      {problem && <p class="problem" role="alert">{problem}</p>}
      <p class="row">
        <button type="submit" disabled={draft.length < 3}>{words.store}</button>
        <button type="button" disabled={!draft.length} onClick={() => onDraft(draft.slice(0, -1))}>{words.undo}</button>
        <button type="button" onClick={() => onDraft(null)}>{words.cancel}</button>
      </p>
    </form>
  );
}

function Zones({ site }: { site: Site }) {
  const [drawn, setDrawn] = useState<ZoneDocument[]>([]);
  const [problem, setProblem] = useState<string>();
  // The site is another object whenever its zones have changed.
  useEffect(() => {
    let gone = false;
    drawnZones(site.id).then((zones) => { if (!gone) setDrawn(zones); }, () => { if (!gone) setDrawn([]); });
    return () => { gone = true; };
  }, [site]);
  const remove = async (zone: ZoneDocument) => {
    try {
      setProblem(undefined);
      await removeZone(site.id, zone);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <h3>{words.zones}</h3>
      {problem && <p class="problem" role="alert">{problem}</p>}
      {site.zones.length === 0 ? <p>{words.noZones}</p> : (
        <table class="zones">
          <thead><tr><th scope="col">{words.zone}</th><th scope="col">{words.id}</th><th scope="col" class="n">{words.area}</th><th scope="col">{words.origin}</th></tr></thead>
          <tbody>
            {site.zones.map((zone) => {
              const document = drawn.find((d) => d.id === zone.id);
              return (
                <tr key={zone.id} data-zone={zone.id}>
                  <th scope="row">{zone.name}</th>
                  <td><code>{zone.id}</code></td>
                  <td class="n">{words.squareMetres(area(zone.polygonM))}</td>
                  <td>{document ? <button type="button" aria-label={words.removeZone(zone.name)} onClick={() => void remove(document)}>{words.remove}</button> : words.fromFile}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </>
  );
}
