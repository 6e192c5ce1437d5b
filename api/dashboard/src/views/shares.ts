// How long what was the case, over frames in order of time.
import type { Heat } from '../parts/plan';
import type { Frame } from '../state/live';

/** Between frames further apart nothing is known. */
const GAP_S = 1;

/** Seconds for which each frame stands: until the next one, unless that is too far away. */
function lengths(frames: Frame[]): number[] {
  return frames.map((frame, i) => {
    const next = frames[i + 1];
    const seconds = next ? (Date.parse(next.time) - Date.parse(frame.time)) / 1000 : 0;
    return seconds > 0 && seconds <= GAP_S ? seconds : 0;
  });
}

/** Time by name, most first; a frame may have several names or none. */
export function shares(frames: Frame[], names: (frame: Frame) => string[]): { name: string; share: number; seconds: number }[] {
  const total = new Map<string, number>();
  const lasting = lengths(frames);
  frames.forEach((frame, i) => {
    for (const name of names(frame)) total.set(name, (total.get(name) ?? 0) + (lasting[i] ?? 0));
  });
  const sum = [...total.values()].reduce((a, b) => a + b, 0);
  return [...total].map(([name, seconds]) => ({ name, seconds, share: sum ? seconds / sum : 0 })).sort((a, b) => b.seconds - a.seconds);
}

/** Time per square of half a metre. */
export function heatOf(frames: Frame[]): Heat {
  const cell = 0.5;
  const squares = new Map<string, { x: number; y: number; seconds: number }>();
  const lasting = lengths(frames);
  frames.forEach((frame, i) => {
    for (const { positionM } of frame.persons) {
      const [x, y] = [Math.floor(positionM.x / cell) * cell, Math.floor(positionM.y / cell) * cell];
      const square = squares.get(`${x},${y}`) ?? { x, y, seconds: 0 };
      square.seconds += lasting[i] ?? 0;
      squares.set(`${x},${y}`, square);
    }
  });
  const most = Math.max(...[...squares.values()].map((s) => s.seconds), 1e-9);
  return { cell, squares: [...squares.values()].map(({ x, y, seconds }) => ({ x, y, share: seconds / most })) };
}
