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
  readonly opened?: boolean; // a group that is drawn as a list of its steps
}

export interface Drawing {
  readonly boxes: readonly Box[];
  readonly edges: readonly { readonly from: string; readonly to: string }[];
}

export const BOXES_LIMIT = 120;
export const ALIKE_LIMIT = 8; // more steps that wait for the same and have the same wait for them are one group

/** Returns what is drawn: at most about `limit` boxes. Groups named in `opened` are drawn as their steps, or as lists of them. */
export function drawing(vertices: readonly Vertex[], opened: ReadonlySet<string>, limit = BOXES_LIMIT): Drawing {
  return joined(vertices, vertices.length <= limit ? alike(vertices, opened) : grouped(vertices, opened, limit));
}

function alone(vertex: Vertex): Box {
  return { id: vertex.id, label: vertex.id, steps: [vertex.id] };
}

/** Steps that are in the same place of the graph as one group, where they are many. */
function alike(vertices: readonly Vertex[], opened: ReadonlySet<string>): Box[] {
  const before = new Map<string, string[]>(vertices.map((vertex) => [vertex.id, []]));
  for (const vertex of vertices) for (const need of vertex.needs) before.get(need)?.push(vertex.id);
  const place = (vertex: Vertex) => JSON.stringify([vertex.needs, before.get(vertex.id), vertex.group]);
  return [...gathered(vertices, place).values()].flatMap((members) => {
    const first = members[0];
    return first && members.length > ALIKE_LIMIT ? boxesOf(`group:${first.id}`, "", members, opened, 0) : members.map(alone);
  });
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

/** A group as one box, closed or opened as a list; opened as its steps where they are few and depend on one another. */
function boxesOf(id: string, name: string, members: readonly Vertex[], opened: ReadonlySet<string>, limit: number): Box[] {
  const first = members[0];
  if (first && members.length === 1) return [alone(first)];
  const label = name || `${first?.id ?? ""} and ${(members.length - 1).toLocaleString("en")} more`;
  const box = { id, label, steps: members.map((vertex) => vertex.id) };
  if (!opened.has(id)) return [box];
  return members.length <= limit && dependent(members) ? members.map(alone) : [{ ...box, opened: true }];
}

function dependent(members: readonly Vertex[]): boolean {
  const inside = new Set(members.map((vertex) => vertex.id));
  return members.some((vertex) => vertex.needs.some((need) => inside.has(need)));
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
