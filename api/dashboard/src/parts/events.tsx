import type { Happening } from '../state/events';
import type { Site } from '../state/sites';
import { clock, texts } from '../texts';

const words = texts.events;

interface Props {
  events: Happening[];
  site: Site | undefined;
  onChoose?: (event: Happening) => void;
}

/** What happened, in the order given. */
export function EventList({ events, site, onChoose }: Props) {
  if (!events.length) return <p class="hint">{words.none}</p>;
  return (
    <ol class="events" tabIndex={0} aria-label={words.title}>
      {events.map((event) => {
        const said = <>{sentence(event, site)}{event.suppressed > 0 && <small> {words.suppressed(event.suppressed)}</small>}</>;
        return (
          <li key={event.id} data-kind={event.kind} class={`severity-${event.severity.toLowerCase()}`}>
            <time dateTime={event.time} title={event.time}>{clock(event.time).slice(0, 8)}</time>
            {onChoose ? <button type="button" class="plain" title={words.show} onClick={() => onChoose(event)}>{said}</button> : <span>{said}</span>}
          </li>
        );
      })}
    </ol>
  );
}

/** Evidence as the API gives it: JSON with a `type`. */
export function evidence({ evidence: text }: Happening): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return {};
  }
}

/** Events of alerts name the alert, which says nothing to people. */
const UNNAMED = /^alert\.(opened|acknowledged|escalated|resolved)$/;

/** Of these the zone is where it happened, not what it happened to. */
const DOES = 'person.activity_detected';
const WITHIN = new Set(['person.detected', 'person.fall_detected', 'person.fall_recovered', DOES]);

function sentence(event: Happening, site: Site | undefined): string {
  const { kind, personId, zoneId, subject } = event;
  const zone = zoneId === null ? null : (site?.zones.find((z) => z.id === zoneId)?.name ?? zoneId);
  const figures = words.evidence(evidence(event));
  const about = [personId !== null && texts.scene.person(personId), words.kinds[kind] ?? kind, !UNNAMED.test(kind) && subject];
  const where = zone && (kind === 'person.lost' ? words.lastSeen(zone) : WITHIN.has(kind) ? words.within(zone) : zone);
  // What somebody does comes before where.
  return (kind === DOES ? [...about, figures.trim(), where] : [...about, where]).filter(Boolean).join(' ') + (kind === DOES ? '' : figures);
}
