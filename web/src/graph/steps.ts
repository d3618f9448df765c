import { toneOf, worded } from "../parts/states";
import type { Vertex } from "./grouping";

export interface GraphStep extends Vertex {
  readonly label: string;
  readonly state: string;
  readonly note?: string; // kind or server, small
  readonly critical?: boolean;
}

/** Returns what a group says of its steps: how many there are, and what of them matters most. */
export function groupNote(steps: readonly GraphStep[]): string {
  const count = (tone: string) => steps.filter((step) => toneOf(step.state) === tone).length;
  const all = `${steps.length.toLocaleString("en")} steps`;
  const bad = count("bad");
  if (bad) return `${all} · ${bad.toLocaleString("en")} failed`;
  const busy = count("busy");
  if (busy) return `${all} · ${busy.toLocaleString("en")} running`;
  const good = count("good");
  return good ? `${all} · ${good === steps.length ? "all" : good.toLocaleString("en")} done` : all;
}

export function stepNote(step: GraphStep): string {
  return [step.state && worded(step.state), step.note].filter(Boolean).join(" · ");
}
