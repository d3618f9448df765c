import { toneOf, worded } from "./states";

const MARKS = { good: "✓", bad: "✕", busy: "●", wait: "◷", part: "◐", none: "○" } as const;

/** A state as a coloured word with a mark: colour alone tells nobody anything. */
export function State({ state }: { readonly state: string | null | undefined }) {
  if (!state) return <span className="state" data-tone="none">–</span>;
  const tone = toneOf(state);
  return (
    <span className="state" data-tone={tone}>
      <span aria-hidden="true">{MARKS[tone]}</span> {worded(state)}
    </span>
  );
}
