import { computed, effect, signal } from '@preact/signals';
import { ask, connection } from '../api/client';
import { Sites, type SitesQuery } from '../api/generated';
import { wantedSite } from './route';

export type Site = SitesQuery['sites'][number];

export const sites = signal<Site[]>([]);
export const sitesProblem = signal<string | null>(null);

/** The chosen site: the address's, else the first. */
export const site = computed(() => sites.value.find((s) => s.id === wantedSite.value) ?? sites.value[0]);
export const siteId = computed(() => site.value?.id);

/** Asks anew which sites there are. */
export async function load(): Promise<void> {
  try {
    const answer = (await ask(Sites, {})).sites;
    // The same sites stay the same object, so that nothing is built anew after a reconnect.
    if (JSON.stringify(answer) !== JSON.stringify(sites.peek())) sites.value = answer;
    sitesProblem.value = null;
  } catch (error) {
    sitesProblem.value = error instanceof Error ? error.message : String(error);
  }
}

// A server that was started anew may have other sites.
effect(() => {
  if (connection.value.state === 'connected') void load();
});
void load();
