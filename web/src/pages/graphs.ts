import type { Graph, StepItem } from "../api/client";
import type { GraphStep } from "../graph/steps";

/** Returns for each step what it waits for. */
export function needsOf(graph: Graph): Map<string, string[]> {
  const needs = new Map<string, string[]>(graph.nodes.map((node) => [node.id, []]));
  for (const edge of graph.edges) needs.get(edge.target)?.push(edge.source);
  return needs;
}

/** Returns the boxes of a graph, with the states of a run's steps where there are some. */
export function stepsOf(graph: Graph, run: readonly StepItem[] = []): GraphStep[] {
  const needs = needsOf(graph);
  const states = new Map(run.map((step) => [step.id, step.state]));
  return graph.nodes.map((node) => ({
    id: node.id,
    label: node.label || node.id,
    state: states.get(node.id) ?? node.state,
    note: [node.server, node.approval ? "asks a person" : node.kind].filter(Boolean).join(" · "),
    needs: needs.get(node.id) ?? [],
    group: node.group || undefined,
    critical: node.critical,
  }));
}
