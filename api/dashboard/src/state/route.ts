// Which view of which site, in the address's fragment, so that it can be linked and shown on a wall.
import { computed, signal } from '@preact/signals';

export const VIEWS = ['live', 'signal', 'history', 'sites', 'system', 'explore'] as const;
export type View = (typeof VIEWS)[number];

const fragment = signal(location.hash);
addEventListener('hashchange', () => { fragment.value = location.hash; });

const parts = computed(() => fragment.value.replace(/^#/, '').split('/').map(decodeURIComponent));

export const view = computed<View>(() => VIEWS.find((v) => v === parts.value[0]) ?? 'live');
/** The site that the address asks for. */
export const wantedSite = computed(() => parts.value[1]);

export const link = (to: View, site: string | undefined) => `#${to}${site === undefined ? '' : `/${encodeURIComponent(site)}`}`;
export function go(to: View, site: string | undefined): void {
  location.hash = link(to, site);
}
