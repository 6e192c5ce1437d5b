import { computed, effect, signal } from '@preact/signals';

export const THEMES = ['auto', 'dark', 'light'] as const;
export type Theme = (typeof THEMES)[number];

const KEY = 'invispose.theme';
const stored = () => {
  try {
    return THEMES.find((t) => t === localStorage.getItem(KEY));
  } catch {
    return undefined;
  }
};

export const theme = signal<Theme>(stored() ?? 'auto');

const system = matchMedia('(prefers-color-scheme: dark)');
const systemDark = signal(system.matches);
system.addEventListener('change', () => { systemDark.value = system.matches; });

export const dark = computed(() => (theme.value === 'auto' ? systemDark.value : theme.value === 'dark'));

effect(() => {
  document.documentElement.dataset.theme = dark.value ? 'dark' : 'light';
  try {
    localStorage.setItem(KEY, theme.value);
  } catch {
    // Private windows may refuse; the choice then lasts as long as the page.
  }
});

export function nextTheme(): void {
  theme.value = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? 'auto';
}

/** A colour of the style sheet, as CSS writes it. */
export const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
