import { describe, expect, it } from "vitest";
import { barsOf, criticalPath, ticksOf } from "../src/timeline/critical";
import { away, since, span } from "../src/parts/times";

const at = (seconds: number) => new Date(1_000_000_000_000 + seconds * 1000).toISOString();
const step = (id: string, from: number | null, to: number | null, needs: string[] = []) => ({
  id,
  state: "succeeded",
  needs,
  started_at: from === null ? null : at(from),
  ended_at: to === null ? null : at(to),
});

describe("a timeline", () => {
  it("has the steps that began, the first first; one that runs reaches to now", () => {
    const bars = barsOf([step("b", 2, null), step("a", 0, 1), step("c", null, null)], 1_000_000_000_000 + 9000);
    expect(bars.map((bar) => [bar.id, bar.endedAt - bar.startedAt])).toEqual([
      ["a", 1000],
      ["b", 7000],
    ]);
  });

  it("marks the chain that decided when the run ended", () => {
    const bars = barsOf([step("a", 0, 1), step("slow", 0, 5), step("join", 5, 6, ["a", "slow"]), step("aside", 1, 3, ["a"])], 0);
    expect([...criticalPath(bars)].sort()).toEqual(["join", "slow"]);
  });

  it("has no critical path where nothing ran, and ends on circles", () => {
    expect(criticalPath([]).size).toBe(0);
    expect(criticalPath(barsOf([step("a", 0, 1, ["b"]), step("b", 0, 1, ["a"])], 0)).size).toBe(2);
  });

  it("has few marks, at round times, also over months", () => {
    for (const length of [0.2, 3, 59, 600, 86_400, 9_000_000]) {
      const ticks = ticksOf(length, 6);
      expect(ticks[0]).toBe(0);
      expect(ticks.length).toBeLessThanOrEqual(7);
    }
  });
});

describe("times", () => {
  it("read as people say them", () => {
    expect([0.42, 42, 200, 7500, 356_400].map(span)).toEqual(["0.4 s", "42 s", "3 min 20 s", "2 h 5 min", "4 d 3 h"]);
    expect(since(at(0), at(90), 0)).toBe("1 min 30 s");
    expect(since(null, null, 0)).toBe("");
    expect(away(at(300), 1_000_000_000_000)).toBe("in 5 min");
    expect(away(at(-7200), 1_000_000_000_000)).toBe("2 h ago");
  });
});
