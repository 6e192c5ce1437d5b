// What a site knows of its quiet room, learning it, and recordings of what people do there.
import { ask } from '../api/client';
import { Calibrate, Calibration, type KnowledgeFragment, Record as Begin, type RecordedFragment, Recordings } from '../api/generated';

export type Knowledge = KnowledgeFragment;
export type Recorded = RecordedFragment;

export const knowledge = async (site: string) => (await ask(Calibration, { site })).calibration;
export const listenToQuiet = async (site: string, seconds: number) => (await ask(Calibrate, { site, seconds })).calibrateBaseline;

/** Labelled ones are called `LABEL-NUMBER`. */
const LABELLED = /^(.+)-\d+$/;
export const labelOf = ({ id }: Recorded) => LABELLED.exec(id)?.[1] ?? null;

/** Labelled recordings of a site, the oldest first. */
export async function labelled(site: string): Promise<Recorded[]> {
  const { recordings } = await ask(Recordings, { site });
  return recordings.filter((r) => r.siteId === site && labelOf(r) !== null).sort((a, b) => (a.createdAt ?? '').localeCompare(b.createdAt ?? ''));
}

/** Records what somebody does from here on, under the first number that is free. */
export async function record(site: string, label: string, seconds: number, known: Recorded[]): Promise<void> {
  const taken = new Set(known.map((r) => r.id));
  let number = 1;
  while (taken.has(`${label}-${number}`)) number += 1;
  await ask(Begin, { input: { id: `${label}-${number}`, siteId: site, seconds, csi: true, poses: false, note: '' } });
}

/** What teaches a site its classifier with these recordings, run in the folder where the server was started. */
export function command(site: string, recordings: Recorded[]): string {
  const files = recordings.map((r) => `--recording ${labelOf(r)}=invispose-data/recordings/${r.id}.ivr`);
  return [`invispose calibrate activity --site ${site}`, ...files].join(' \\\n  ');
}

/** Label of recordings in which somebody knows where people were. */
export const ROOM = 'room';

/** What teaches the network a site's room with this recording, by what knows where people were. */
export function roomCommands(site: string, { id }: Recorded): ['camera' | 'walk', string][] {
  const line = (what: string, labels: string) =>
    [`invispose calibrate ${what} --site ${site}`, `--recording invispose-data/recordings/${id}.ivr`, labels, `--out ${site}.safetensors`].join(' \\\n  ');
  return [['camera', line('camera', '--labels keypoints.jsonl')], ['walk', line('walk', '--path path.csv')]];
}
