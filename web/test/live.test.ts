import { describe, expect, it } from "vitest";
import { Positions } from "../src/api/live";
import { LogTexts } from "../src/api/logs";
import { fault, given } from "../src/pages/params";
import type { Param } from "../src/api/client";

describe("one connection for many topics", () => {
  it("goes on where each topic is when the topics change", () => {
    const positions = new Positions();
    positions.note(["run:a", "log:a/x"], "7,120");
    expect(positions.cursor(["run:a", "log:a/y", "log:a/x"])).toBe("7,0,120");
    expect(positions.cursor(["runs"])).toBe("");
  });

  it("begins a topic anew that nobody followed for a while", () => {
    const positions = new Positions();
    positions.note(["run:a", "log:a/x"], "7,120");
    positions.keep(["run:a"]);
    expect(positions.cursor(["run:a", "log:a/x"])).toBe("7,0");
  });
});

describe("a live log", () => {
  it("grows, and is another one when another attempt begins", () => {
    const texts = new LogTexts();
    let heard = 0;
    const leave = texts.listen(() => (heard += 1));
    texts.add("log:a/x", "one\n", 0);
    texts.add("log:a/x", "two\n", 4);
    expect(texts.text("log:a/x")).toBe("one\ntwo\n");
    texts.add("log:a/x", "again\n", 0);
    expect(texts.text("log:a/x")).toBe("again\n");
    leave();
    texts.add("log:a/x", "more\n", 6);
    expect(heard).toBe(3);
  });
});

describe("parameters", () => {
  const param = (some: Partial<Param>): Param => ({ name: "n", type: "string", required: false, enum: [], description: "", ...some });

  it.each([
    [{ required: true }, "", "This is required."],
    [{ type: "integer" }, "1.5", "A whole number."],
    [{ type: "number" }, "x", "A number."],
    [{ type: "boolean" }, "yes", "true or false."],
    [{ enum: ["a", "b"] }, "c", "One of a, b."],
    [{ type: "integer", minimum: 2 }, "1", "At least 2."],
    [{ type: "number", maximum: 2 }, "2.5", "At most 2."],
    [{ min_length: 3 }, "ab", "At least 3 characters."],
    [{ type: "integer", minimum: 2, maximum: 4 }, "3", ""],
    [{}, "anything", ""],
  ])("%j with %j: %s", (some, value, expected) => {
    expect(fault(param(some), value)).toBe(expected);
  });

  it("without names are sent in their order, others only where they differ from the default", () => {
    expect(given([param({ name: null }), param({ name: null })], ["a", "b"])).toEqual(["a", "b"]);
    expect(given([param({ default: "x" }), param({ name: "m", default: "y" })], ["x", "z"])).toEqual({ m: "z" });
  });
});
