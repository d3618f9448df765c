import { useMediaQuery } from "@mantine/hooks";
import { Background, Controls, type Edge, type Node, ReactFlow, type ReactFlowInstance } from "@xyflow/react";
import "@xyflow/react/dist/base.css";
import { memo, useCallback, useMemo, useRef, useState } from "react";
import { toneOf, worst } from "../parts/states";
import { type BoxData, NODE_TYPES } from "./Boxes";
import { type Box, type Vertex, drawing } from "./grouping";
import { type Place, columnsOf, placesOf, roomOf } from "./layout";
import { type GraphStep, groupNote, stepNote } from "./steps";
import "./graph.css";

const ROOM_PX = 72; // around the boxes
const LEAST_ZOOM = 0.5; // smaller letters nobody can read
const NOWHERE: Place = { x: 0, y: 0, wide: 0, high: 0 };

interface Props {
  readonly label: string;
  readonly steps: readonly GraphStep[];
  readonly selected?: string | undefined;
  readonly onSelect?: (step: string) => void;
}

export default memo(DagGraph);

/** The graph of a DAG, live. Large ones come as groups that open when they are pressed. */
function DagGraph({ label, steps, selected, onSelect }: Props) {
  const across = useMediaQuery("(min-width: 700px)", true, { getInitialValueInEffect: false });
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set());
  const shape = useShape(steps);
  const drawn = useMemo(() => drawing(shape, opened), [shape, opened]);
  const places = useMemo(() => placesOf(drawn, across), [drawn, across]);
  const room = useMemo(() => roomOf(places), [places]);
  const frame = useRef<HTMLElement>(null);
  const toggle = useCallback((group: string) => setOpened((before) => toggled(before, group)), []);

  const nodes = useMemo(() => {
    const byId = new Map(steps.map((step) => [step.id, step]));
    return drawn.boxes.map((box) => {
      const inside = box.steps.flatMap((id) => byId.get(id) ?? []);
      return nodeOf(box, inside, places.get(box.id) ?? NOWHERE, { across, selected, onSelect, toggle });
    });
  }, [drawn, places, steps, selected, onSelect, toggle, across]);
  const edges = useMemo(() => edgesOf(drawn.edges, steps), [drawn, steps]);
  const marked = edges.some((edge) => edge.className);

  return (
    <>
      <section ref={frame} className="graph" aria-label={label} style={{ height: `min(68vh, ${Math.max(150, room.high + ROOM_PX)}px, 560px)` }}>
        {opened.size > 0 && (
          <button type="button" className="graph-fold" onClick={() => setOpened(new Set())}>
            Close groups
          </button>
        )}
        <ReactFlow
          key={`${[...opened].join()}:${drawn.boxes.length}:${across}`}
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
          onInit={(flow) => begin(flow, frame.current, room, nodes)}
        >
          <Background gap={24} />
          <Controls showInteractive={false} />
        </ReactFlow>
      </section>
      {marked && <p className="quiet small graph-legend">The thick line is the longest way through the graph.</p>}
    </>
  );
}

/** All of it where that can be read; else the boxes where something happens, else the beginning. */
function begin(flow: ReactFlowInstance<Node<BoxData>, Edge>, frame: HTMLElement | null, room: { wide: number; high: number }, nodes: readonly Node<BoxData>[]): void {
  const wide = frame?.clientWidth ?? 0;
  const high = frame?.clientHeight ?? 0;
  if (!wide || !high) return;
  const zoom = Math.min(1, (wide - 90) / room.wide, (high - 30) / room.high);
  if (zoom >= LEAST_ZOOM) {
    void flow.setViewport({ x: (wide - room.wide * zoom) / 2, y: (high - room.high * zoom) / 2, zoom });
    return;
  }
  const active = nodes.find((node) => ["bad", "busy", "wait"].includes(toneOf(node.data.state)) || node.type === "list") ?? nodes[0];
  const x = (active?.position.x ?? 0) + (active?.width ?? 0) / 2;
  const y = (active?.position.y ?? 0) + (active?.height ?? 0) / 2;
  const scale = Math.max(LEAST_ZOOM, Math.min(0.8, (high - 30) / room.high));
  const kept = (center: number, size: number, view: number) => (size * scale <= view - 40 ? (view - size * scale) / 2 : Math.min(50, Math.max(view - size * scale - 30, view / 2 - center * scale)));
  void flow.setViewport({ x: kept(x, room.wide, wide), y: kept(y, room.high, high), zoom: scale });
}

interface Making {
  readonly across: boolean;
  readonly selected: string | undefined;
  readonly onSelect: ((step: string) => void) | undefined;
  readonly toggle: (group: string) => void;
}

function nodeOf(box: Box, inside: readonly GraphStep[], { x, y, wide, high }: Place, { across, selected, onSelect, toggle }: Making): Node<BoxData> {
  const single = inside.length === 1 ? inside[0] : undefined;
  const data: BoxData = {
    label: single?.label ?? box.label,
    note: single ? stepNote(single) : groupNote(inside),
    state: worst(inside.map((step) => step.state)),
    steps: inside,
    columns: columnsOf(box, across),
    across,
    selected,
    press: (step) => {
      const chosen = step ?? single?.id;
      if (chosen === undefined) toggle(box.id);
      else onSelect?.(chosen);
    },
  };
  return { id: box.id, type: box.opened ? "list" : "box", position: { x, y }, data, width: wide, height: high, style: { pointerEvents: "all" } };
}

/** The longest way is marked where there is more than one way. */
function edgesOf(edges: readonly { readonly from: string; readonly to: string }[], steps: readonly GraphStep[]): Edge[] {
  const critical = new Set(steps.filter((step) => step.critical).map((step) => step.id));
  const told = critical.size < steps.length;
  return edges.map(({ from, to }): Edge => {
    const marked = told && critical.has(from) && critical.has(to);
    return { id: `${from}\n${to}`, source: from, target: to, ...(marked ? { className: "critical" } : {}) };
  });
}

function toggled(before: ReadonlySet<string>, group: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(group)) after.add(group);
  return after;
}

/** The steps as they are connected: stays the same object while only states change, so that nothing is laid out again. */
function useShape(steps: readonly GraphStep[]): readonly Vertex[] {
  const key = JSON.stringify(steps.map((step) => [step.id, step.needs, step.group ?? ""]));
  return useMemo(() => steps.map(({ id, needs, group }) => ({ id, needs, group })), [key]);
}
