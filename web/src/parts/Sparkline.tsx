import { toneOf, worded } from "./states";
import { span } from "./times";

export interface Past {
  readonly status: string;
  readonly seconds: number;
}

const WIDE = 96;
const HIGH = 24;
const MOST = 16;

/** The newest runs as bars, the newest to the right, as high as they took long. */
export function Sparkline({ past }: { readonly past: readonly Past[] }) {
  const shown = past.slice(-MOST);
  if (!shown.length) return null;
  const longest = Math.max(...shown.map((run) => run.seconds), 0.001);
  const last = shown[shown.length - 1];
  const told = `${shown.length} runs, at most ${span(longest)}; the last ${worded(last?.status ?? "")} after ${span(last?.seconds ?? 0)}`;
  return (
    <svg className="spark" width={WIDE} height={HIGH} viewBox={`0 0 ${WIDE} ${HIGH}`} role="img" aria-label={told}>
      {shown.map((run, index) => {
        const high = Math.max(3, (run.seconds / longest) * HIGH);
        const x = WIDE - (shown.length - index) * 6;
        return <rect key={index} data-tone={toneOf(run.status)} x={x} y={HIGH - high} width="4" height={high} rx="1" />;
      })}
    </svg>
  );
}
