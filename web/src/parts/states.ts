/** What the words for states mean to the eye. Dagu's words and ours. */

export type Tone = "good" | "bad" | "busy" | "wait" | "part" | "none";

const TONES: Readonly<Record<string, Tone>> = {
  succeeded: "good",
  completed: "good",
  unchanged: "good",
  failed: "bad",
  timed_out: "bad",
  rejected: "bad",
  aborted: "part",
  cancelled: "part",
  interrupted: "part",
  blocked: "part",
  running: "busy",
  dispatched: "busy",
  finishing: "busy",
  pausing: "busy",
  retrying: "busy",
  retry_wait: "busy",
  waiting: "wait",
  paused: "wait",
  queued: "wait",
  created: "wait",
  partially_succeeded: "part",
  partial: "part",
  changed: "part",
};

const OVER = new Set(["succeeded", "failed", "aborted", "partially_succeeded", "rejected", "partial", "cancelled", "timed_out"]);

export function toneOf(state: string | null | undefined): Tone {
  return TONES[state ?? ""] ?? "none";
}

export function worded(state: string): string {
  return state.replaceAll("_", " ");
}

/** Whether a run in this state has ended. */
export function isOver(state: string): boolean {
  return OVER.has(state);
}

const WORST: readonly Tone[] = ["bad", "wait", "busy", "part", "none", "good"];

/** Returns the state that stands for many: the one that asks for most attention. */
export function worst(states: readonly string[]): string {
  const rank = (state: string) => WORST.indexOf(toneOf(state));
  return states.reduce((most, state) => (rank(state) < rank(most) ? state : most), states[0] ?? "");
}

/** Returns an error without the command that it begins with: in a narrow column that would be all there is. */
export function shortly(error: string): string {
  return error.replace(/^`.*` (?=\S)/s, "");
}

/** What started a run, and who: an actor such as `ann (api)` says both. */
export function by({ trigger, actor }: { readonly trigger: string; readonly actor: string }): string {
  return actor.endsWith(`(${trigger})`) ? actor : [trigger, actor].filter(Boolean).join(", ");
}
