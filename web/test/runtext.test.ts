import { describe, expect, it, vi } from "vitest";
import { gotRunText } from "../src/api/runtext";

interface Part {
  readonly status?: number;
  readonly text?: string;
  readonly settled?: number;
  readonly from?: number;
}

/** A server that gives these answers one after the other. Returns what was asked for of it. */
function answering(...parts: readonly Part[]) {
  const asked: Record<string, string>[] = [];
  const left = [...parts];
  vi.stubGlobal("fetch", async (_path: string, { headers = {} }: { headers?: Record<string, string> }) => {
    asked.push(headers);
    const { status = 200, text = "", settled = 0, from } = left.shift() ?? { status: 500 };
    const size = new TextEncoder().encode(text).length;
    const range = from === undefined ? {} : { "Content-Range": `bytes ${from}-${from + size - 1}/${from + size}` };
    const told = { ETag: `"${parts.length - left.length}"`, "Log-Settled": `${settled}`, "Content-Length": `${status === 200 && text === "huge" ? 9e9 : size}`, ...range };
    return new Response(status === 304 ? null : text, { status, headers: told });
  });
  return asked;
}

describe("the log of a whole run", () => {
  it("is kept as far as it stays as it is, and asked for from there on", async () => {
    const asked = answering({ text: "héad\nrest", settled: 6 }, { status: 206, text: "more\nnew", settled: 11, from: 6 }, { status: 304 });
    const first = await gotRunText("r");
    expect([first.settled, first.rest, first.settled_b]).toEqual(["héad\n", "rest", 6]);
    const second = await gotRunText("r", first);
    expect([second.settled, second.rest, second.settled_b]).toEqual(["héad\nmore\n", "new", 11]);
    expect(await gotRunText("r", second)).toBe(second);
    expect(asked.map((one) => [one["Range"], one["If-None-Match"]])).toEqual([
      [undefined, undefined],
      ["bytes=6-", '"1"'],
      ["bytes=11-", '"2"'],
    ]);
  });

  it("is what it was where there is nothing behind what is settled", async () => {
    answering({ text: "all\n", settled: 4 }, { status: 416 });
    const first = await gotRunText("r");
    expect(await gotRunText("r", first)).toBe(first);
  });

  it("begins near its end where it is very long, and goes on from there", async () => {
    const asked = answering({ text: "huge" }, { status: 206, text: "tail", settled: 90, from: 1000 }, { status: 206, text: "tail!", settled: 1005, from: 1000 });
    const first = await gotRunText("r");
    expect([first.settled, first.rest, first.left_b, asked[1]?.["Range"]]).toEqual(["", "tail", 1000, "bytes=-8000000"]);
    const second = await gotRunText("r", first);
    expect([second.settled, second.rest, second.left_b]).toEqual(["tail!", "", 1000]);
  });

  it("is refused in the server's words", async () => {
    answering({ status: 404, text: '{"detail": "no run has the id r"}' });
    await expect(gotRunText("r")).rejects.toThrow("no run has the id r");
  });
});
