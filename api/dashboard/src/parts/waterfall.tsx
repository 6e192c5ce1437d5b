import { useEffect, useRef } from 'preact/hooks';

interface Props {
  label: string;
  /** The newest row; each one that is another object is drawn once. Values 0..1. */
  row: ArrayLike<number> | null;
  /** Rows kept in the picture. */
  rows: number;
}

/** Rows of values as colours, the newest on top. */
export function Waterfall({ label, row, rows }: Props) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useEffect(() => {
    const picture = canvas.current;
    const pen = picture?.getContext('2d');
    if (!picture || !pen || !row?.length) return;
    if (picture.width !== row.length || picture.height !== rows) {
      picture.width = row.length;
      picture.height = rows;
    }
    pen.drawImage(picture, 0, 1);
    const line = pen.createImageData(row.length, 1);
    for (let i = 0; i < row.length; i += 1) line.data.set(tone(row[i] ?? 0), i * 4);
    pen.putImageData(line, 0, 0);
  }, [row, rows]);
  return <canvas class="waterfall" ref={canvas} role="img" aria-label={label} />;
}

/** Dark to light through blue and yellow, evenly lighter: readable without colour vision. */
const TONES = [[8, 12, 28], [30, 42, 110], [36, 104, 160], [62, 164, 150], [160, 206, 92], [252, 240, 140]] as const;

function tone(value: number): [number, number, number, number] {
  const at = Math.min(1, Math.max(0, value)) * (TONES.length - 1);
  const i = Math.min(TONES.length - 2, Math.floor(at));
  const [from, to] = [TONES[i] ?? TONES[0], TONES[i + 1] ?? TONES[0]];
  const mix = (k: 0 | 1 | 2) => from[k] + (to[k] - from[k]) * (at - i);
  return [mix(0), mix(1), mix(2), 255];
}
