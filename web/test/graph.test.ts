import { describe, expect, it } from "vitest";
import { BOXES_LIMIT, type Vertex, depthsOf, drawing } from "../src/graph/grouping";
import { placesOf } from "../src/graph/layout";

const vertex = (id: string, needs: string[] = [], group?: string): Vertex => ({ id, needs, group });
const chain = (length: number) => Array.from({ length }, (_, index) => vertex(`s${index}`, index ? [`s${index - 1}`] : []));
const fan = (width: number) => [vertex("first"), ...Array.from({ length: width }, (_, index) => vertex(`w${index}`, ["first"]))];

function everyStepOnce(vertices: readonly Vertex[], opened: ReadonlySet<string> = new Set()) {
  const steps = drawing(vertices, opened).boxes.flatMap((box) => box.steps);
  expect(steps.length).toBe(vertices.length);
  expect(new Set(steps).size).toBe(vertices.length);
}

describe("a graph", () => {
  it("of few steps is drawn step by step", () => {
    const { boxes, edges } = drawing([vertex("a"), vertex("b", ["a"])], new Set());
    expect(boxes.map((box) => box.id)).toEqual(["a", "b"]);
    expect(edges).toEqual([{ from: "a", to: "b" }]);
  });

  it.each([
    ["a chain", chain(5000)],
    ["a fan", fan(5000)],
    ["formulas", Array.from({ length: 5000 }, (_, index) => vertex(`f${index % 50}/${index}`, [], `f${index % 50}`))],
  ])("of 5,000 steps, %s, is drawn as few boxes with every step in one", (_name, vertices) => {
    expect(drawing(vertices, new Set()).boxes.length).toBeLessThanOrEqual(BOXES_LIMIT);
    everyStepOnce(vertices);
  });

  it("has a group for each formula, by its name, and opens one step by step", () => {
    const vertices = Array.from({ length: 200 }, (_, index) => vertex(`f${index % 5}/${index}`, index < 5 ? [] : [`f${index % 5}/${index - 5}`], `f${index % 5}`));
    expect(drawing(vertices, new Set()).boxes.map((box) => box.label)).toEqual(["f0", "f1", "f2", "f3", "f4"]);
    expect(drawing(vertices, new Set(["group:f1"])).boxes.length).toBe(4 + 40);
    everyStepOnce(vertices, new Set(["group:f1"]));
  });

  it("opens a group of thousands as one list", () => {
    const vertices = fan(5000);
    const wide = drawing(vertices, new Set()).boxes.find((box) => box.steps.length > 1);
    const opened = new Set([wide?.id ?? ""]);
    const boxes = drawing(vertices, opened).boxes;
    expect(boxes.map((box) => [box.steps.length, box.opened ?? false])).toEqual([
      [1, false],
      [5000, true],
    ]);
    everyStepOnce(vertices, opened);
    const place = placesOf(drawing(vertices, opened), true).get(wide?.id ?? "");
    expect(place?.high).toBeLessThan(400);
  });

  it("has steps that are alike as one group also where it is small, and opens those as a list", () => {
    const vertices = [...fan(20), vertex("last", Array.from({ length: 20 }, (_, index) => `w${index}`))];
    expect(drawing(vertices, new Set()).boxes.map((box) => box.label)).toEqual(["first", "w0 and 19 more", "last"]);
    expect(drawing(vertices, new Set(["group:w0"])).boxes[1]?.opened).toBe(true);
    expect(drawing(fan(5), new Set()).boxes.length).toBe(6);
    everyStepOnce(vertices, new Set(["group:w0"]));
  });

  it("counts depths of 100,000 steps in a row without recursion", () => {
    expect(depthsOf(chain(100_000)).get("s99999")).toBe(99_999);
  });

  it("does not fail on needs that nobody knows, nor on circles", () => {
    expect(() => drawing([vertex("a", ["b", "gone"]), vertex("b", ["a"])], new Set())).not.toThrow();
    expect(depthsOf([vertex("a", ["b"]), vertex("b", ["a"])]).size).toBe(2);
  });

  it("is laid out so that no box covers another and each is beyond what it needs", () => {
    const drawn = drawing([vertex("a"), vertex("b", ["a"]), vertex("c", ["a"]), vertex("d", ["b", "c"])], new Set());
    const places = placesOf(drawn, true);
    const x = (id: string) => places.get(id)?.x ?? Number.NaN;
    expect(x("a")).toBeLessThan(x("b"));
    expect(x("b")).toBeLessThan(x("d"));
    expect(Math.abs((places.get("b")?.y ?? 0) - (places.get("c")?.y ?? 0))).toBeGreaterThan(50);
  });
});
