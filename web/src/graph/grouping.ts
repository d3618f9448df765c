/** Graphs of thousands of steps as a few dozen boxes. Pure; O(V + E) per call. */

export interface Vertex {
  readonly id: string;
  readonly needs: readonly string[];
  readonly group?: string | undefined; // a formula, for example
}

export interface Box {
  readonly id: string;
  readonly label: string;
  readonly steps: readonly string[]; // more than one: a group
}

export interface Drawing {
  readonly boxes: readonly Box[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

export const BOXES_LIMIT = 120;
const PARTS = 40; // of a group that is opened and still has too many steps

/** Returns what is drawn. Groups named in `opened` are drawn step by step, at most `limit` boxes in all where that is possible. */
export function drawing(vertices: readonly Vertex[], opened: ReadonlySet<string>, limit = BOXES_LIMIT): Drawing {
  if (vertices.length <= limit) return joined(vertices, vertices.map(alone));
  return joined(vertices, grouped(vertices, opened, limit));
}

function alone(vertex: Vertex): Box {
  return { id: vertex.id, label: vertex.id, steps: [vertex.id] };
}

function grouped(vertices: readonly Vertex[], opened: ReadonlySet<string>, limit: number): Box[] {
  const byName = gathered(vertices, (vertex) => vertex.group ?? "");
  const named = byName.size > 1 && byName.size <= limit;
  const depths = depthsOf(vertices);
  const groups = named ? byName : banded(vertices, depths, limit);
  return [...groups].flatMap(([key, members]) => boxesOf(`group:${key}`, named ? key : "", members, opened, limit));
}

/** Bands of layers, as many as may be drawn: the shape of the graph stays. */
function banded(vertices: readonly Vertex[], depths: ReadonlyMap<string, number>, limit: number): Map<string, Vertex[]> {
  const layers = 1 + [...depths.values()].reduce((most, depth) => Math.max(most, depth), 0);
  const size = Math.ceil(layers / Math.min(limit, 60));
  return gathered(vertices, (vertex) => String(Math.floor((depths.get(vertex.id) ?? 0) / size)));
}

function boxesOf(id: string, name: string, members: readonly Vertex[], opened: ReadonlySet<string>, limit: number): Box[] {
  const first = members[0];
  if (first && members.length === 1) return [alone(first)];
  if (!opened.has(id)) {
    const label = name || `${first?.id ?? ""} and ${(members.length - 1).toLocaleString("en")} more`;
    return [{ id, label, steps: members.map((vertex) => vertex.id) }];
  }
  if (members.length <= limit) return members.map(alone);
  const size = Math.ceil(members.length / PARTS);
  const parts = Array.from({ length: PARTS }, (_, index) => members.slice(index * size, (index + 1) * size));
  return parts.flatMap((part, index) => (part.length ? boxesOf(`${id}/${index}`, "", part, opened, limit) : []));
}

function gathered(vertices: readonly Vertex[], key: (vertex: Vertex) => string): Map<string, Vertex[]> {
  const groups = new Map<string, Vertex[]>();
  for (const vertex of vertices) {
    const name = key(vertex);
    const members = groups.get(name);
    if (members) members.push(vertex);
    else groups.set(name, [vertex]);
  }
  return groups;
}

function joined(vertices: readonly Vertex[], boxes: readonly Box[]): Drawing {
  const boxOf = new Map(boxes.flatMap((box) => box.steps.map((step) => [step, box.id] as const)));
  const seen = new Set<string>();
  const edges: { from: string; to: string }[] = [];
  for (const vertex of vertices) {
    const to = boxOf.get(vertex.id);
    for (const need of vertex.needs) {
      const from = boxOf.get(need);
      const key = JSON.stringify([from, to]);
      if (from === undefined || to === undefined || from === to || seen.has(key)) continue;
      seen.add(key);
      edges.push({ from, to });
    }
  }
  return { boxes, edges };
}

/** Returns how many steps come before each on the longest way. Kahn's algorithm: chains of 100,000 do not recurse. */
export function depthsOf(vertices: readonly Vertex[]): Map<string, number> {
  const after = new Map<string, string[]>(vertices.map((vertex) => [vertex.id, []]));
  const left = new Map<string, number>();
  for (const vertex of vertices) {
    const known = vertex.needs.filter((need) => after.has(need));
    left.set(vertex.id, known.length);
    for (const need of known) after.get(need)?.push(vertex.id);
  }
  const depths = new Map<string, number>(vertices.map((vertex) => [vertex.id, 0]));
  const ready = vertices.filter((vertex) => left.get(vertex.id) === 0).map((vertex) => vertex.id);
  for (let at = 0; at < ready.length; at += 1) {
    const id = ready[at] ?? "";
    for (const next of after.get(id) ?? []) {
      depths.set(next, Math.max(depths.get(next) ?? 0, (depths.get(id) ?? 0) + 1));
      const open = (left.get(next) ?? 0) - 1;
      left.set(next, open);
      if (open === 0) ready.push(next);
    }
  }
  return depths;
}
