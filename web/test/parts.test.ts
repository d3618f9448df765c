import { describe, expect, it } from "vitest";
import { Connection } from "../src/api/connection";
import { groupNote } from "../src/graph/steps";
import { meaning } from "../src/layout/shortcuts";
import { hint, startValues } from "../src/pages/params";
import { coloured } from "../src/pages/yaml";
import { inWords, zoneOf } from "../src/parts/cron";
import { by, shortly } from "../src/parts/states";
import { dated } from "../src/parts/times";

describe("a schedule in words", () => {
  it.each([
    ["*/15 * * * *", "every 15 min"],
    ["* * * * *", "every minute"],
    ["5 * * * *", "hourly at :05"],
    ["0 4 * * *", "daily at 04:00"],
    ["30 13 * * 1-5", "Mon–Fri at 13:30"],
    ["0 6 * * sun,3", "Sundays, Wednesdays at 06:00"],
    ["CRON_TZ=Europe/Madrid 0 4 * * *", "daily at 04:00 (Europe/Madrid)"],
    ["@daily", "daily at 00:00"],
    ["*/7 * * * *", "*/7 * * * *"], // not evenly: the last one of an hour comes sooner
    ["0 0 1 * *", "0 0 1 * *"],
    ["0 4 * * * *", "0 4 * * * *"],
    ["2026-01-01T04:00:00Z", "2026-01-01T04:00:00Z"],
  ])("%s: %s", (text, said) => expect(inWords(text)).toBe(said));

  it("has the zone that it names", () => {
    expect(zoneOf("TZ=Asia/Tokyo 0 4 * * *")).toBe("Asia/Tokyo");
    expect(zoneOf("0 4 * * *")).toBe("");
    expect(dated("2026-01-01T03:00:00Z", "Asia/Tokyo")).toBe("Thu 1 Jan 12:00 Asia/Tokyo");
    expect(dated("2026-01-01T03:00:00Z", "Nowhere/Atall")).toContain("1 Jan");
  });
});

describe("keys", () => {
  it.each([
    ["g", "", "wait"],
    ["r", "g", { go: "/runs" }],
    ["r", "", null],
    ["/", "g", "search"],
    ["?", "", "help"],
    ["x", "g", null],
  ])("%s after %j: %j", (key, before, expected) => expect(meaning(key, before)).toEqual(expected));
});

describe("the connection", () => {
  it("is lost while any stream is, and listeners hear only of changes", () => {
    const connection = new Connection();
    const [one, other] = [{}, {}];
    let heard = 0;
    connection.listen(() => (heard += 1));
    connection.note(one, true);
    connection.note(one, false);
    connection.note(other, false);
    connection.note(one, true);
    expect([connection.lost(), heard]).toEqual([true, 1]);
    connection.note(other, true);
    expect([connection.lost(), heard]).toEqual([false, 2]);
  });
});

describe("what a page says", () => {
  it("of a parameter", () => {
    const param = { name: "n", type: "integer", required: false, enum: [], description: "" };
    expect([hint(param), hint({ ...param, minimum: 1, maximum: 9 }), hint({ ...param, maximum: 9 }), hint({ ...param, type: "string" })]).toEqual([
      "a whole number",
      "a whole number, 1 to 9",
      "a whole number, at most 9",
      "",
    ]);
  });

  it("in a form for running again: what the run before was given", () => {
    const param = { name: "A", default: "x", type: "string", required: false, enum: [], description: "" };
    expect(startValues([param, { ...param, name: "B" }], [["B", "y"]])).toEqual(["x", "y"]);
    expect(startValues([{ ...param, name: null }], [[null, 3]])).toEqual(["3"]);
  });

  it("of a group of steps: how many, and what matters most", () => {
    const steps = (...states: string[]) => states.map((state, index) => ({ id: `${index}`, label: "", needs: [], state }));
    expect(groupNote(steps("succeeded", "failed", "running"))).toBe("3 steps · 1 failed");
    expect(groupNote(steps("succeeded", "running", ""))).toBe("3 steps · 1 running");
    expect(groupNote(steps("succeeded", "succeeded"))).toBe("2 steps · all done");
    expect(groupNote(steps("", ""))).toBe("2 steps");
  });

  it("of an error: not the command, which may be long", () => {
    expect(shortly("`sh -c 'x'` ended with exit code 7")).toBe("ended with exit code 7");
    expect(shortly("`only`")).toBe("`only`");
  });

  it("of a line of YAML: keys, texts and comments apart, and nothing is lost", () => {
    const line = '  - name: "a # b" # why';
    expect(coloured(line).map((piece) => piece.kind)).toEqual(["", "key", "", "text", "", "comment"]);
    for (const one of [line, "steps:", "- echo: 'x'", "https://example.com", "", "#"]) {
      expect(coloured(one).map((piece) => piece.text).join("")).toBe(one);
    }
  });
});

describe("what a run was started by", () => {
  it("is said once", () => {
    expect(by({ trigger: "api", actor: "ann (api)" })).toBe("ann (api)");
    expect(by({ trigger: "schedule", actor: "scheduler" })).toBe("schedule, scheduler");
    expect(by({ trigger: "cli", actor: "" })).toBe("cli");
  });
});
