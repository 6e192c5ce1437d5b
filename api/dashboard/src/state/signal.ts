// The signal of each link of the chosen site, for as long as somebody looks at it.
import { signal } from '@preact/signals';
import { Quality, type QualitySubscription, Signal, type SignalSubscription } from '../api/generated';
import { listen } from './listen';

export type Link = QualitySubscription['linkQuality'][number];
export type Curves = SignalSubscription['csi'][number];

export const links = signal<Link[]>([]);
/** By link, of the newest window. */
export const curves = signal<ReadonlyMap<string, Curves>>(new Map());

/** Looks until the returned function is called, at the signal itself too. */
export function look(site: string, closely = true): () => void {
  links.value = [];
  curves.value = new Map();
  const ends = [
    listen(Quality, { site }, ({ linkQuality }) => { links.value = linkQuality; }),
    closely ? listen(Signal, { site }, ({ csi }) => { curves.value = new Map(csi.map((c) => [c.linkId, c])); }) : () => {},
  ];
  return () => ends.forEach((end) => end());
}
