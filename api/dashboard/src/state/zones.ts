// Zones that were drawn: documents of the server's, which it tells apart from those of its configuration file.
import { rest } from '../api/client';
import { load } from './sites';

export interface Point {
  x: number;
  y: number;
}

export interface ZoneDocument {
  id: string;
  name: string;
  polygon_m: [number, number][];
  version: number;
}

const address = (site: string, id?: string) => `config/zones${id === undefined ? '' : `/${encodeURIComponent(id)}`}?${new URLSearchParams({ site_id: site })}`;

export async function drawnZones(site: string): Promise<ZoneDocument[]> {
  const { items } = await rest<{ items: ZoneDocument[] }>('GET', `${address(site)}&limit=1000`);
  return items;
}

export async function storeZone(site: string, name: string, corners: Point[]): Promise<void> {
  await rest('POST', address(site), { name, polygon_m: corners.map(({ x, y }) => [x, y]) });
  await load();
}

/** Fails when somebody has changed the zone meanwhile. */
export async function removeZone(site: string, { id, version }: ZoneDocument): Promise<void> {
  await rest('DELETE', address(site, id), undefined, `"${version}"`);
  await load();
}

const STEP_M = 0.05;

/** On the grid of the drawing, within the room. */
export function snap({ x, y }: Point, room: Point): Point {
  const on = (value: number, size: number) => Math.round(Math.min(size, Math.max(0, value)) / STEP_M) * STEP_M;
  const round = (value: number) => Number(value.toFixed(2));
  return { x: round(on(x, room.x)), y: round(on(y, room.y)) };
}

/** `x, y; x, y; …` in metres; null where it is something else. */
export function corners(text: string): Point[] | null {
  const points = text.split(';').map((p) => p.trim()).filter(Boolean).map((p) => p.split(/[\s,]+/).map(Number));
  return points.every((p) => p.length === 2 && p.every(Number.isFinite)) ? points.map(([x, y]) => ({ x: x ?? 0, y: y ?? 0 })) : null;
}

export const written = (points: Point[]) => points.map(({ x, y }) => `${x}, ${y}`).join('; ');

/** Square metres, by the shoelace formula. */
export function area(polygon: Point[]): number {
  const twice = polygon.reduce((sum, p, i) => {
    const next = polygon[(i + 1) % polygon.length] ?? p;
    return sum + p.x * next.y - next.x * p.y;
  }, 0);
  return Math.abs(twice) / 2;
}
