import { useVirtualizer } from "@tanstack/react-virtual";
import { useMemo, useRef } from "react";
import { toneOf, worded } from "../parts/states";
import { span } from "../parts/times";
import { Empty } from "../parts/Told";
import { type Timed, barsOf, criticalPath, ticksOf } from "./critical";
import "./gantt.css";

interface Props {
  readonly steps: readonly Timed[];
  readonly now: number;
  readonly onSelect?: (step: string) => void;
}

const ROW_PX = 28;

/** When each step ran. The critical path, what decided how long it all took, is marked. */
export default function Gantt({ steps, now, onSelect }: Props) {
  const bars = useMemo(() => barsOf(steps, now), [steps, now]);
  const critical = useMemo(() => criticalPath(bars), [bars]);
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: bars.length, getScrollElement: () => box.current, estimateSize: () => ROW_PX, overscan: 20, initialRect: { width: 900, height: 400 } });
  if (!bars.length) return <Empty title="Nothing has started yet." />;

  const begin = bars[0]?.startedAt ?? 0;
  const end = bars.reduce((most, bar) => Math.max(most, bar.endedAt), begin);
  const whole_s = Math.max((end - begin) / 1000, 0.1);
  const part = (seconds: number) => `${(seconds / whole_s) * 100}%`;
  const ticks = ticksOf(whole_s, 6);

  return (
    <section className="gantt" aria-label="Timeline">
      <p className="quiet">
        {span(whole_s)} in all; the critical path, {critical.size} of {bars.length} steps, is striped.
      </p>
      <div className="gantt-axis" aria-hidden="true">
        {ticks.map((tick) => (
          <span key={tick} style={{ left: part(tick) }}>
            {tick < 60 ? `${tick} s` : span(tick)}
          </span>
        ))}
      </div>
      <div ref={box} className="gantt-box" tabIndex={0}>
        <ul style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((row) => {
            const bar = bars[row.index];
            if (!bar) return null;
            const took_s = (bar.endedAt - bar.startedAt) / 1000;
            const decisive = critical.has(bar.id);
            return (
              <li key={bar.id} style={{ transform: `translateY(${row.start}px)` }}>
                <button type="button" className="gantt-name" onClick={() => onSelect?.(bar.id)}>
                  {bar.id}
                </button>
                <div className="gantt-track" role="img" aria-label={`${worded(bar.state)}, ${span(took_s)}${decisive ? ", on the critical path" : ""}`}>
                  <span
                    className="gantt-bar"
                    data-tone={toneOf(bar.state)}
                    data-critical={decisive || undefined}
                    style={{ left: part((bar.startedAt - begin) / 1000), width: part(took_s) }}
                  />
                </div>
                <span className="gantt-took">{span(took_s)}</span>
              </li>
            );
          })}
        </ul>
      </div>
    </section>
  );
}
