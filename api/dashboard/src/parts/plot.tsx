import { useEffect, useMemo, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colour, dark } from '../state/theme';

export interface Line {
  label: string;
  /** A colour of the style sheet. */
  colour: string;
  fill?: boolean;
  steps?: boolean;
}

/** Seconds between marks of a time axis. */
const STEPS_S = [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800];

interface Props {
  label: string;
  lines: Line[];
  /** Times in seconds, then one array a line; null where nothing was measured. */
  data: uPlot.AlignedData;
  height: number;
  /** What to write at a moment of the time axis. */
  time: (seconds: number) => string;
  span?: [number, number];
  /** Seconds for which a value stands: where the next one comes later, nothing is known in between. */
  gap?: number;
  least?: number;
  onSeek?: (seconds: number) => void;
}

/** Lines over time. */
export function Plot({ label, lines, data: given, height, time, span, gap, least = 1, onSeek }: Props) {
  const data = useMemo(() => (gap === undefined ? given : broken(given, gap, lines.every((l) => l.steps))), [given, gap]);
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef({ data, span, time, onSeek });
  latest.current = { data, span, time, onSeek };

  const shape = `${JSON.stringify(lines)} ${height} ${dark.value}`;
  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const axis: uPlot.Axis = {
      stroke: colour('muted'),
      grid: { stroke: colour('line'), width: 1 },
      ticks: { show: false },
      font: '11px system-ui, sans-serif',
    };
    const steps = uPlot.paths.stepped?.({ align: 1 });
    const made = new uPlot(
      {
        width: element.clientWidth || 300,
        height,
        padding: [8, 6, 0, 0],
        cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
        legend: { show: lines.length > 1, live: false },
        scales: {
          x: { time: false, range: (_, from, to) => latest.current.span ?? [from, to] },
          y: { range: (_, _from, to) => [0, Math.max(least, (Number.isFinite(to) ? to : 0) * 1.1)] },
        },
        axes: [
          { ...axis, size: 24, space: 70, incrs: STEPS_S, values: (_, at) => at.map((t) => latest.current.time(t)) },
          { ...axis, size: 40, space: 26 },
        ],
        series: [
          {},
          ...lines.map((line) => ({
            label: line.label,
            stroke: colour(line.colour),
            width: 1.5,
            points: { show: false },
            spanGaps: false,
            ...(line.fill ? { fill: `color-mix(in srgb, ${colour(line.colour)} 18%, transparent)` } : {}),
            ...(line.steps && steps ? { paths: steps } : {}),
          })),
        ],
      },
      latest.current.data,
      element,
    );
    plot.current = made;
    const sizes = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }));
    sizes.observe(element);
    const seek = () => {
      const at = made.cursor.left;
      if (at !== undefined && at >= 0) latest.current.onSeek?.(made.posToVal(at, 'x'));
    };
    made.over.addEventListener('click', seek);
    return () => {
      sizes.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [shape]);

  useEffect(() => plot.current?.setData(data), [data, span?.[0], span?.[1]]);
  return <div class="plot" ref={host} role="img" aria-label={label} />;
}

/** The same, broken off after each value that has no neighbour, and after the last; `lasting`: values stand for the time after them. */
function broken([times, ...lines]: uPlot.AlignedData, gap: number, lasting: boolean): uPlot.AlignedData {
  const t: number[] = [];
  const values: (number | null)[][] = lines.map(() => []);
  for (let i = 0; i < times.length; i += 1) {
    const at = times[i] ?? 0;
    const add = (time: number, value: (line: number) => number | null) => {
      t.push(time);
      values.forEach((line, k) => line.push(value(k)));
    };
    const said = (line: number) => lines[line]?.[i] ?? null;
    add(at, said);
    const next = times[i + 1];
    if (next !== undefined && next <= at + gap * 1.01) continue;
    if (lasting) add(at + gap * 0.999, said);
    add(at + gap, () => null);
  }
  return [t, ...values];
}
