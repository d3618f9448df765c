/** When steps ran, and the chain of steps that decided how long the run took. Pure; times are milliseconds since 1970. */

export interface Bar {
  readonly id: string;
  readonly state: string;
  readonly needs: readonly string[];
  readonly startedAt: number;
  readonly endedAt: number; // now, while it runs
}

export interface Timed {
  readonly id: string;
  readonly state: string;
  readonly needs: readonly string[];
  readonly started_at: string | null;
  readonly ended_at: string | null;
}

/** Returns the steps that have begun, the first first. */
export function barsOf(steps: readonly Timed[], now: number): Bar[] {
  return steps
    .flatMap((step) => {
      if (step.started_at === null) return [];
      const startedAt = Date.parse(step.started_at);
      const endedAt = step.ended_at === null ? Math.max(now, startedAt) : Math.max(Date.parse(step.ended_at), startedAt);
      return [{ id: step.id, state: step.state, needs: step.needs, startedAt, endedAt }];
    })
    .sort((one, other) => one.startedAt - other.startedAt || one.endedAt - other.endedAt);
}

/** Returns the ids of the critical path: back from what ended last, each time to the need that ended last. */
export function criticalPath(bars: readonly Bar[]): ReadonlySet<string> {
  const byId = new Map(bars.map((bar) => [bar.id, bar]));
  const path = new Set<string>();
  let at = latest(bars);
  while (at && !path.has(at.id)) {
    path.add(at.id);
    at = latest(at.needs.flatMap((need) => byId.get(need) ?? []));
  }
  return path;
}

function latest(bars: readonly Bar[]): Bar | undefined {
  return bars.reduce<Bar | undefined>((last, bar) => (last === undefined || bar.endedAt > last.endedAt ? bar : last), undefined);
}

const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800];

/** Returns the marks of an axis in seconds, at most about `most` of them. */
export function ticksOf(length_s: number, most: number): number[] {
  const wanted = length_s / Math.max(1, most);
  const step = STEPS_S.find((size) => size >= wanted) ?? Math.ceil(wanted / 604_800) * 604_800;
  return Array.from({ length: Math.floor(length_s / step) + 1 }, (_, index) => index * step);
}
