import { type Tone, toneOf } from "./states";

const ORDER: readonly Tone[] = ["good", "part", "bad", "busy", "wait", "none"];

/** How much of a run is done, and how: a strip of colours. Those who cannot see it have the numbers beside it. */
export function Progress({ states }: { readonly states: readonly string[] }) {
  if (states.length < 2) return null;
  const counts = new Map<Tone, number>();
  for (const state of states) counts.set(toneOf(state), (counts.get(toneOf(state)) ?? 0) + 1);
  return (
    <div className="progress" aria-hidden="true">
      {ORDER.map((tone) => {
        const count = counts.get(tone) ?? 0;
        return count > 0 && <span key={tone} data-tone={tone} style={{ flexGrow: count }} />;
      })}
    </div>
  );
}
