import { afterEach, describe, expect, it, vi } from "vitest";
import { type StreamEvent, follow, parsed } from "../src/api/stream";

afterEach(() => vi.unstubAllGlobals());

describe("server-sent events", () => {
  it("are read whole, in pieces, with comments and more than one line", () => {
    const { events, rest, lastId } = parsed(": hello\n\nid: 7\nevent: step\ndata: a\ndata: b\n\nid: 8\nda", "3");
    expect(events).toEqual([{ id: "7", event: "step", data: "a\nb" }]);
    expect(rest).toBe("id: 8\nda");
    expect(lastId).toBe("7");
  });

  it("resume after the last one that came when the connection breaks", async () => {
    const asked: (string | null)[] = [];
    const bodies = ["id: 1\ndata: one\n\nid: 2\nda", "id: 2\ndata: two\n\n"];
    vi.stubGlobal("fetch", async (_address: string, { headers }: { headers: Record<string, string> }) => {
      asked.push(headers["Last-Event-ID"] ?? null);
      const body = bodies.shift();
      return body === undefined ? new Response(null, { status: 204 }) : new Response(body);
    });
    const seen: StreamEvent[] = [];
    await new Promise<void>((resolve) => {
      const stop = follow("/stream", {
        onEvent: (event) => {
          seen.push(event);
          if (seen.length < 2) return;
          stop();
          resolve();
        },
        wait_ms: () => 0,
      });
    });
    expect(seen.map((event) => event.data)).toEqual(["one", "two"]);
    expect(asked.slice(0, 2)).toEqual([null, "1"]);
  });

  it("are not asked for again where they are refused", async () => {
    const calls = vi.fn(async () => new Response(null, { status: 403 }));
    vi.stubGlobal("fetch", calls);
    follow("/stream", { onEvent: () => undefined, wait_ms: () => 0 });
    await vi.waitFor(() => expect(calls).toHaveBeenCalled());
    await Promise.resolve();
    expect(calls).toHaveBeenCalledTimes(1);
  });
});
