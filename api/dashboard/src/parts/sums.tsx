// Sums over a span of time, as pictures and shares.
import type { SumsQuery } from '../api/generated';
import type { Happening } from '../state/events';
import type { Stretch } from '../state/past';
import type { Site } from '../state/sites';
import { number, texts } from '../texts';
import { evidence } from './events';
import { Plan } from './plan';

const words = texts.history;

/** The floor by how often somebody was seen there. */
export function Heat({ site, of: { cellM, cells } }: { site: Site; of: SumsQuery['heatMap'] }) {
  const most = Math.max(1, ...cells.map((c) => c.count));
  return <Plan site={site} heat={{ cell: cellM, squares: cells.map(({ xM, yM, count }) => ({ x: xM, y: yM, share: count / most })) }} />;
}

function Shares({ title, of, hint, none }: { title: string; of: { name: string; share: number; said: string }[]; hint?: string; none: string }) {
  return (
    <section class="panel">
      <h2>{title}</h2>
      {of.length === 0 ? <p class="hint">{none}</p> : (
        <ul class="shares">
          {of.map(({ name, share, said }) => (
            <li key={name}><span>{name}</span><span class="bar"><span style={{ width: `${share * 100}%` }} /></span><span>{said}</span></li>
          ))}
        </ul>
      )}
      {hint && <p class="hint">{hint}</p>}
    </section>
  );
}

/** Mean over stretches, each counting by its frames; null where nothing is known. */
function mean(stretches: Stretch[], of: (stretch: Stretch) => number | null): number | null {
  let [sum, frames] = [0, 0];
  for (const stretch of stretches) {
    const value = of(stretch);
    if (value === null) continue;
    sum += value * stretch.frames;
    frames += stretch.frames;
  }
  return frames ? sum / frames : null;
}

/** Shares of the time in which somebody was at the site and in its zones. */
export function Occupancy({ of, zones }: { of: Stretch[]; zones: Site['zones'] }) {
  const whole = of.filter((s) => s.zoneId === null);
  const frames = whole.reduce((sum, s) => sum + s.frames, 0);
  const rows = [
    { name: words.present, share: mean(whole, (s) => s.present), people: null },
    { name: words.occupied, share: mean(whole, (s) => s.occupied), people: mean(whole, (s) => s.meanOccupancy) },
    // Stretches in which nobody was in a zone are left out of the answer.
    ...zones.map(({ id, name }) => {
      const inside = of.filter((s) => s.zoneId === id);
      const over = (value: (s: Stretch) => number) => (frames ? inside.reduce((sum, s) => sum + value(s) * s.frames, 0) / frames : null);
      return { name, share: over((s) => s.occupied), people: over((s) => s.meanOccupancy) };
    }),
  ];
  return (
    <Shares
      title={words.occupancy}
      none={words.empty}
      hint={words.zonesLong}
      of={rows.flatMap(({ name, share, people }) =>
        share === null ? [] : [{ name, share, said: people === null ? `${number(share * 100)} %` : words.zone(number(share * 100), number(people, 2)) }])}
    />
  );
}

/** How long people stayed in the zones that they left. */
export function Dwell({ of, more, zones }: { of: Happening[]; more: boolean; zones: Site['zones'] }) {
  const stays = new Map<string, number[]>();
  for (const event of of) {
    const { type, dwell_s: length } = evidence(event);
    if (event.kind !== 'person.left_zone' || type !== 'stay' || typeof length !== 'number' || event.zoneId === null) continue;
    stays.set(event.zoneId, [...(stays.get(event.zoneId) ?? []), length]);
  }
  const rows = [...stays].map(([zone, lengths]) => {
    const sorted = lengths.sort((a, b) => a - b);
    return { name: zones.find((z) => z.id === zone)?.name ?? zone, count: sorted.length, median: sorted[Math.floor(sorted.length / 2)] ?? 0, longest: sorted.at(-1) ?? 0 };
  });
  const most = Math.max(1e-9, ...rows.map((r) => r.median));
  return (
    <Shares
      title={words.dwell}
      none={words.noStays}
      hint={words.dwellLong(more)}
      of={rows.map(({ name, count, median, longest }) => ({ name, share: median / most, said: words.stay(count, median, longest) }))}
    />
  );
}

/** What the people whose activity is known did, most first. */
export function Activities({ of }: { of: Stretch[] }) {
  const total = new Map<string, number>();
  for (const { zoneId, frames, meanOccupancy, activities } of of) {
    if (zoneId !== null) continue;
    for (const { activity, share } of activities) total.set(activity, (total.get(activity) ?? 0) + share * frames * meanOccupancy);
  }
  const sum = [...total.values()].reduce((a, b) => a + b, 0);
  const rows = [...total].map(([name, n]) => ({ name, share: sum ? n / sum : 0 })).sort((a, b) => b.share - a.share);
  return <Shares title={words.activities} none={words.noActivities} of={rows.map((r) => ({ ...r, said: `${number(r.share * 100)} %` }))} />;
}
