// Colours of people: by identifier, so that a person keeps theirs. Told apart by most colour-blind eyes.
const PEOPLE = ['#38bdf8', '#fb923c', '#4ade80', '#f472b6', '#a78bfa', '#facc15'];

export function personColour(id: string): string {
  const digits = Number(id);
  const hash = Number.isSafeInteger(digits) ? digits - 1 : [...id].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7) >>> 0;
  return PEOPLE[((hash % PEOPLE.length) + PEOPLE.length) % PEOPLE.length] ?? '#38bdf8';
}
