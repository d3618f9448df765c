import { Handle, type Node, type NodeProps, Position } from "@xyflow/react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { Icon } from "../parts/Icon";
import { Progress } from "../parts/Progress";
import { toneOf, worded } from "../parts/states";
import { LIST_ROW } from "./layout";
import type { GraphStep } from "./steps";

export interface BoxData extends Record<string, unknown> {
  readonly label: string;
  readonly note: string;
  readonly state: string;
  readonly steps: readonly GraphStep[]; // more than one: a group
  readonly columns: number; // of an opened group
  readonly across: boolean;
  readonly selected: string | undefined;
  readonly press: (step?: string) => void; // a step of an opened group; nothing: the box itself
}

export const NODE_TYPES = { box: BoxNode, list: ListNode };

/** A step, or a group that opens. */
function BoxNode({ data }: NodeProps<Node<BoxData>>) {
  const group = data.steps.length > 1;
  const told = `${data.label}${data.state ? `, ${worded(data.state)}` : ""}${group ? `, ${data.note}, opens` : ""}`;
  return (
    <>
      <Handle type="target" position={data.across ? Position.Left : Position.Top} isConnectable={false} />
      <button
        type="button"
        className="box nopan"
        data-tone={toneOf(data.state)}
        data-group={group || undefined}
        aria-label={told}
        aria-pressed={!group && data.steps[0]?.id === data.selected}
        title={data.label}
        onClick={() => data.press()}
      >
        <span className="box-label">{data.label}</span>
        <span className="box-note">{data.note}</span>
        {group && <Progress states={data.steps.map((step) => step.state)} />}
      </button>
      <Handle type="source" position={data.across ? Position.Right : Position.Bottom} isConnectable={false} />
    </>
  );
}

/** The steps of a group, in columns that scroll: what failed is at the beginning. */
function ListNode({ data }: NodeProps<Node<BoxData>>) {
  const box = useRef<HTMLDivElement>(null);
  const steps = failedFirst(data.steps);
  const rows = useVirtualizer({
    count: Math.ceil(steps.length / data.columns),
    getScrollElement: () => box.current,
    estimateSize: () => LIST_ROW,
    overscan: 6,
    initialRect: { width: 600, height: 300 },
  });
  return (
    <>
      <Handle type="target" position={data.across ? Position.Left : Position.Top} isConnectable={false} />
      <div className="list nopan nowheel" role="group" aria-label={data.label}>
        <div className="list-head">
          <strong className="one-line">{data.label}</strong>
          <button type="button" aria-label={`Close ${data.label}`} onClick={() => data.press()}>
            <Icon name="cross" />
          </button>
        </div>
        <div ref={box} className="list-box">
          <div style={{ height: rows.getTotalSize(), position: "relative" }}>
            {rows.getVirtualItems().map((row) => (
              <div key={row.key} className="list-row" style={{ transform: `translateY(${row.start}px)`, gridTemplateColumns: `repeat(${data.columns}, 1fr)` }}>
                {steps.slice(row.index * data.columns, (row.index + 1) * data.columns).map((step) => (
                  <button
                    key={step.id}
                    type="button"
                    className="list-step one-line"
                    data-tone={toneOf(step.state)}
                    aria-label={`${step.label}${step.state ? `, ${worded(step.state)}` : ""}`}
                    aria-pressed={step.id === data.selected}
                    title={[step.label, worded(step.state)].filter(Boolean).join(", ")}
                    onClick={() => data.press(step.id)}
                  >
                    {step.label}
                  </button>
                ))}
              </div>
            ))}
          </div>
        </div>
      </div>
      <Handle type="source" position={data.across ? Position.Right : Position.Bottom} isConnectable={false} />
    </>
  );
}

function failedFirst(steps: readonly GraphStep[]): readonly GraphStep[] {
  const bad = steps.filter((step) => toneOf(step.state) === "bad");
  return bad.length ? [...bad, ...steps.filter((step) => toneOf(step.state) !== "bad")] : steps;
}
