import { Graph, layout } from "@dagrejs/dagre";
import type { Drawing } from "./grouping";

export interface Place {
  readonly x: number;
  readonly y: number;
}

export const BOX_WIDE = 190;
export const BOX_HIGH = 52;

/** Returns the upper left corner of every box. */
export function placesOf(drawing: Drawing, across: boolean): ReadonlyMap<string, Place> {
  const graph = new Graph().setDefaultEdgeLabel(() => ({}));
  graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: 22, ranksep: across ? 56 : 40, ranker: drawing.boxes.length > 60 ? "longest-path" : "network-simplex" });
  for (const box of drawing.boxes) graph.setNode(box.id, { width: BOX_WIDE, height: BOX_HIGH });
  for (const edge of drawing.edges) graph.setEdge(edge.from, edge.to);
  layout(graph);
  return new Map(
    drawing.boxes.map((box) => {
      const { x, y } = graph.node(box.id);
      return [box.id, { x: x - BOX_WIDE / 2, y: y - BOX_HIGH / 2 }];
    }),
  );
}
