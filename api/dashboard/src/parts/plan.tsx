import type { Frame } from '../state/live';
import type { Site } from '../state/sites';
import { texts } from '../texts';
import { personColour } from './palette';

/** Square metres of floor and how long somebody was seen there, 0..1 of the longest. */
export interface Heat {
  cell: number;
  squares: { x: number; y: number; share: number }[];
}

interface Props {
  site: Site;
  frame?: Frame | null;
  trails?: ReadonlyMap<string, { x: number; y: number }[]>;
  heat?: Heat;
  /** Corners of a zone that is being drawn. */
  draft?: { x: number; y: number }[];
  /** Somebody pointed at this place. */
  onPoint?: (place: { x: number; y: number }) => void;
}

/** The room from above, x to the right and y upwards, in metres. */
export function Plan({ site, frame, trails, heat, draft, onPoint }: Props) {
  const { x: width, y: depth } = site.roomM;
  const margin = 0.25;
  const up = (y: number) => depth - y;
  const points = (places: { x: number; y: number }[]) => places.map((p) => `${p.x},${up(p.y)}`).join(' ');
  const point = (event: MouseEvent) => {
    const drawing = event.currentTarget as SVGSVGElement;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM()?.inverse());
    onPoint?.({ x: at.x, y: depth - at.y });
  };
  return (
    <svg
      class={`plan ${onPoint ? 'drawing' : ''}`}
      viewBox={`${-margin} ${-margin} ${width + 2 * margin} ${depth + 2 * margin}`}
      role="img"
      aria-label={texts.plan.label}
      {...(onPoint ? { onClick: point } : {})}
    >
      <rect class="floor" x={0} y={0} width={width} height={depth} />
      {heat?.squares.map(({ x, y, share }) => (
        <rect key={`${x},${y}`} class="heat" x={x} y={up(y + heat.cell)} width={heat.cell} height={heat.cell} fill-opacity={share} />
      ))}
      {site.zones.map((zone, i) => {
        const inside = frame?.persons.some((p) => p.zone?.id === zone.id);
        return (
          <g key={zone.id} class={`zone zone-${i % 4} ${inside ? 'occupied' : ''}`}>
            <polygon points={points(zone.polygonM)} />
            <text
              x={zone.polygonM.reduce((sum, p) => sum + p.x / zone.polygonM.length, 0)}
              y={up(Math.min(...zone.polygonM.map((p) => p.y))) - 0.18}
            >{zone.name}</text>
          </g>
        );
      })}
      {site.links.map(({ id, transmitterM: t, receiverM: r }) => (
        <line key={id} class="link" x1={t.x} y1={up(t.y)} x2={r.x} y2={up(r.y)} />
      ))}
      {site.links.map(({ id, transmitterM: t, receiverM: r }) => (
        <g key={id}>
          <rect class="transmitter" x={t.x - 0.1} y={up(t.y) - 0.1} width={0.2} height={0.2} transform={`rotate(45 ${t.x} ${up(t.y)})`}>
            <title>{texts.plan.transmitter(id)}</title>
          </rect>
          <circle class="receiver" cx={r.x} cy={up(r.y)} r={0.1}><title>{texts.plan.receiver(id)}</title></circle>
        </g>
      ))}
      {frame?.persons.map(({ id, positionM: p, velocityMS: v }) => (
        <g key={id} class="someone" data-person={id} data-x={p.x} data-y={p.y} style={{ '--tint': personColour(id) }}>
          {trails && <polyline points={points(trails.get(id) ?? [])} />}
          {Math.hypot(v.x, v.y) > 0.15 && <line x1={p.x} y1={up(p.y)} x2={p.x + v.x * 0.7} y2={up(p.y + v.y * 0.7)} />}
          <circle cx={p.x} cy={up(p.y)} r={0.17} />
          <title>{texts.scene.person(id)}</title>
        </g>
      ))}
      {draft && <polygon class="draft" points={points(draft)} />}
      {draft?.map((p, i) => <circle key={i} class="corner-mark" cx={p.x} cy={up(p.y)} r={0.09} />)}
    </svg>
  );
}
