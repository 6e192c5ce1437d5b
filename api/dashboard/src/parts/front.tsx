import type { Frame } from '../state/live';
import type { Site } from '../state/sites';
import { texts } from '../texts';
import { personColour } from './palette';

/** COCO joints that a line connects. */
const BONES: [number, number][] = [
  [5, 6], [5, 7], [7, 9], [6, 8], [8, 10], [5, 11], [6, 12], [11, 12], [11, 13], [13, 15], [12, 14], [14, 16],
];

/** Skeletons seen from the wall y = 0, in metres: the API's own projection without its scaling. */
export function Front({ site, frame }: { site: Site; frame: Frame | null }) {
  const { x: width, z: height } = site.roomM;
  return (
    <svg class="plan front" viewBox={`-0.1 -0.1 ${width + 0.2} ${height + 0.2}`} role="img" aria-label={texts.skeletons.label}>
      <rect class="floor" x={0} y={0} width={width} height={height} />
      {frame?.persons.map(({ id, keypoints }) => {
        const at = new Map(keypoints.map((k) => [k.id, { x: k.positionM.x, y: height - k.positionM.z }]));
        const face = [0, 1, 2, 3, 4].flatMap((i) => at.get(i) ?? []);
        const middle = (of: 'x' | 'y') => face.reduce((sum, p) => sum + p[of] / face.length, 0);
        return (
          <g key={id} class="bones" style={{ '--tint': personColour(id) }}>
            {BONES.map(([a, b]) => {
              const [from, to] = [at.get(a), at.get(b)];
              return from && to && <line key={`${a} ${b}`} x1={from.x} y1={from.y} x2={to.x} y2={to.y} />;
            })}
            {face.length > 0 && <circle cx={middle('x')} cy={middle('y')} r={0.11} />}
          </g>
        );
      })}
    </svg>
  );
}
