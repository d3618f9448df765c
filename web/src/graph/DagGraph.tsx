import { useMediaQuery } from "@mantine/hooks";
import { Background, Controls, type Edge, Handle, MarkerType, type Node, type NodeProps, Position, ReactFlow } from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { useCallback, useMemo, useState } from "react";
import { toneOf, worded, worst } from "../parts/states";
import { type Vertex, drawing } from "./grouping";
import { BOX_HIGH, BOX_WIDE, placesOf } from "./layout";

const ROOM_PX = 76; // around the boxes
import "./graph.css";

export interface GraphStep extends Vertex {
  readonly label: string;
  readonly state: string;
  readonly note?: string; // kind or server, small
  readonly critical?: boolean;
}

interface Props {
  readonly label: string;
  readonly steps: readonly GraphStep[];
  readonly selected?: string | undefined;
  readonly onSelect?: (step: string) => void;
}

interface BoxData extends Record<string, unknown> {
  readonly label: string;
  readonly note: string;
  readonly state: string;
  readonly count: number;
  readonly critical: boolean;
  readonly across: boolean;
  readonly chosen: boolean;
  readonly press: () => void;
}

const NODE_TYPES = { box: BoxNode };

/** The graph of a DAG, live. Large ones come as groups that open when they are pressed. */
export default function DagGraph({ label, steps, selected, onSelect }: Props) {
  const across = useMediaQuery("(min-width: 700px)", true, { getInitialValueInEffect: false });
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const shape = useShape(steps);
  const drawn = useMemo(() => drawing(shape, opened), [shape, opened]);
  const places = useMemo(() => placesOf(drawn, across), [drawn, across]);
  const open = useCallback((group: string) => setOpened((before) => new Set([...before, group])), []);

  const nodes = useMemo(() => {
    const byId = new Map(steps.map((step) => [step.id, step]));
    return drawn.boxes.map((box): Node<BoxData> => {
      const inside = box.steps.flatMap((id) => byId.get(id) ?? []);
      const single = box.steps.length === 1 ? inside[0] : undefined;
      const data: BoxData = {
        label: single?.label ?? box.label,
        note: single ? (single.note ?? "") : `${box.steps.length.toLocaleString("en")} steps`,
        state: worst(inside.map((step) => step.state)),
        count: box.steps.length,
        critical: inside.some((step) => step.critical),
        across,
        chosen: single !== undefined && single.id === selected,
        press: () => (single ? onSelect?.(single.id) : open(box.id)),
      };
      const size = { width: BOX_WIDE, height: BOX_HIGH, style: { pointerEvents: "all" as const } };
      return { id: box.id, type: "box", position: places.get(box.id) ?? { x: 0, y: 0 }, data, ...size };
    });
  }, [drawn, places, steps, selected, onSelect, open, across]);
  const edges = useMemo(
    () => drawn.edges.map(({ from, to }): Edge => ({ id: `${from}\n${to}`, source: from, target: to, markerEnd: { type: MarkerType.ArrowClosed } })),
    [drawn],
  );

  return (
    <section className="graph" aria-label={label} style={{ height: `min(62vh, ${Math.max(180, highOf(places) + ROOM_PX)}px, 520px)` }}>
      {opened.size > 0 && (
        <button type="button" className="graph-fold" onClick={() => setOpened(new Set())}>
          Close groups
        </button>
      )}
      <ReactFlow
        key={`${drawn.boxes.length}:${across}`}
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        nodesDraggable={false}
        nodesConnectable={false}
        nodesFocusable={false}
        edgesFocusable={false}
        elementsSelectable={false}
        onlyRenderVisibleElements={drawn.boxes.length > 60}
        preventScrolling={false}
        minZoom={0.05}
        maxZoom={1.5}
        fitView
        fitViewOptions={{ minZoom: 0.4, maxZoom: 1, padding: 0.08 }}
      >
        <Background gap={24} />
        <Controls showInteractive={false} />
      </ReactFlow>
    </section>
  );
}

function highOf(places: ReadonlyMap<string, { readonly y: number }>): number {
  return [...places.values()].reduce((most, place) => Math.max(most, place.y + BOX_HIGH), 0);
}

/** The steps as they are connected: stays the same object while only states change, so that nothing is laid out again. */
function useShape(steps: readonly GraphStep[]): readonly Vertex[] {
  const key = JSON.stringify(steps.map((step) => [step.id, step.needs, step.group ?? ""]));
  return useMemo(() => steps.map(({ id, needs, group }) => ({ id, needs, group })), [key]);
}

function BoxNode({ data }: NodeProps<Node<BoxData>>) {
  const told = `${data.label}${data.state ? `, ${worded(data.state)}` : ""}${data.count > 1 ? `, ${data.note}, opens` : ""}`;
  return (
    <>
      <Handle type="target" position={data.across ? Position.Left : Position.Top} isConnectable={false} />
      <button
        type="button"
        className="box nopan"
        data-tone={toneOf(data.state)}
        data-group={data.count > 1 || undefined}
        data-critical={data.critical || undefined}
        aria-label={told}
        aria-pressed={data.chosen}
        onClick={data.press}
      >
        <span className="box-label">{data.label}</span>
        <span className="box-note">{[data.state && worded(data.state), data.note].filter(Boolean).join(" · ")}</span>
      </button>
      <Handle type="source" position={data.across ? Position.Right : Position.Bottom} isConnectable={false} />
    </>
  );
}
