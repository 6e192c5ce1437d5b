import { signal } from '@preact/signals';

/** `performance.now()`, four times a second: ages and countdowns hang on it. */
export const now = signal(performance.now());
setInterval(() => { now.value = performance.now(); }, 250);
