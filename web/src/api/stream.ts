/** Server-sent events over fetch: unlike EventSource it says where to resume, also after the page was left, and why it ended. */

export interface StreamEvent {
  readonly id: string;
  readonly event: string;
  readonly data: string;
}

export interface Parsed {
  readonly events: readonly StreamEvent[];
  readonly rest: string;
  readonly lastId: string;
}

/** Returns the whole events at the beginning of a text, and what is left of it. */
export function parsed(text: string, lastId: string): Parsed {
  const blocks = text.split(/\r?\n\r?\n/);
  const rest = blocks.pop() ?? "";
  const events: StreamEvent[] = [];
  let id = lastId;
  for (const block of blocks) {
    const fields = fieldsOf(block);
    id = fields.get("id") ?? id;
    const data = fields.get("data");
    if (data !== undefined) events.push({ id, event: fields.get("event") ?? "message", data });
  }
  return { events, rest, lastId: id };
}

function fieldsOf(block: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of block.split(/\r?\n/)) {
    const colon = line.indexOf(":");
    if (colon === 0) continue; // a comment keeps the connection alive
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    const before = fields.get(name);
    fields.set(name, name === "data" && before !== undefined ? `${before}\n${value}` : value);
  }
  return fields;
}

export interface Following {
  readonly onEvent: (event: StreamEvent) => void;
  readonly onState?: (connected: boolean) => void;
  readonly lastId?: string;
  readonly wait_ms?: (failures: number) => number;
}

const REFUSED = new Set([400, 401, 403, 404, 422]);

/** Follows a stream until it is stopped; resumes after the last event it saw. Returns what stops it. */
export function follow(address: string, { onEvent, onState, lastId = "", wait_ms = backOff }: Following): () => void {
  const stop = new AbortController();
  void (async () => {
    let last = lastId;
    for (let failures = 0; !stop.signal.aborted; failures += 1) {
      try {
        const answer = await fetch(address, { headers: headersFor(last), credentials: "same-origin", signal: stop.signal });
        if (REFUSED.has(answer.status) || answer.status === 204) return;
        if (answer.ok && answer.body) {
          onState?.(true);
          failures = 0;
          for await (const text of pieces(answer.body)) last = deliver(text, last);
        }
      } catch {
        // the network, or stopped: both end up below
      }
      if (stop.signal.aborted) return;
      onState?.(false);
      await pause(wait_ms(failures), stop.signal);
    }
  })();

  let rest = "";
  function deliver(text: string, last: string): string {
    const found = parsed(rest + text, last);
    rest = found.rest;
    for (const event of found.events) if (!stop.signal.aborted) onEvent(event);
    return found.lastId;
  }
  return () => stop.abort();
}

function headersFor(last: string): Record<string, string> {
  return { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
}

async function* pieces(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}

function backOff(failures: number): number {
  return Math.min(15_000, 500 * 2 ** failures) * (0.75 + Math.random() / 2);
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
