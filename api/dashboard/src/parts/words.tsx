/** A sentence; what stands between backticks is to be typed. */
export function Words({ of }: { of: string }) {
  return <>{of.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</>;
}
