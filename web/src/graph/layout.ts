import { Graph, layout } from "@dagrejs/dagre";
import type { Box, Drawing } from "./grouping";

export interface Place {
  readonly x: number;
  readonly y: number;
  readonly wide: number;
  readonly high: number;
}

export const BOX_WIDE = 190;
export const BOX_HIGH = 52;
export const LIST_ROW = 30;
const LIST_ROWS = 10; // in view
const LIST_HEAD = 38;
const LIST_COLUMN = 168;

/** Returns how many columns the list of an opened group has. */
export function columnsOf(box: Box, across: boolean): number {
  return Math.min(across ? 4 : 2, Math.ceil(box.steps.length / LIST_ROWS));
}

function sizeOf(box: Box, across: boolean): { width: number; height: number } {
  if (!box.opened) return { width: BOX_WIDE, height: BOX_HIGH };
  const columns = columnsOf(box, across);
  const rows = Math.min(LIST_ROWS, Math.ceil(box.steps.length / columns));
  return { width: Math.max(columns * LIST_COLUMN + 16, BOX_WIDE + 60), height: LIST_HEAD + rows * LIST_ROW + 8 };
}

/** Returns the upper left corner and the size of every box. */
export function placesOf(drawing: Drawing, across: boolean): ReadonlyMap<string, Place> {
  const graph = new Graph().setDefaultEdgeLabel(() => ({}));
  graph.setGraph({ rankdir: across ? "LR" : "TB", nodesep: 22, ranksep: across ? 56 : 40, ranker: drawing.boxes.length > 60 ? "longest-path" : "network-simplex" });
  for (const box of drawing.boxes) graph.setNode(box.id, sizeOf(box, across));
  for (const edge of drawing.edges) graph.setEdge(edge.from, edge.to);
  layout(graph);
  return new Map(
    drawing.boxes.map((box) => {
      const { x, y } = graph.node(box.id);
      const { width, height } = sizeOf(box, across);
      return [box.id, { x: x - width / 2, y: y - height / 2, wide: width, high: height }];
    }),
  );
}

/** Returns how much room all boxes take. */
export function roomOf(places: ReadonlyMap<string, Place>): { wide: number; high: number } {
  const all = [...places.values()];
  return {
    wide: all.reduce((most, place) => Math.max(most, place.x + place.wide), 0),
    high: all.reduce((most, place) => Math.max(most, place.y + place.high), 0),
  };
}
