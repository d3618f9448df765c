import { runLogPath } from "./client";
import { refusal } from "./problem";

/** The log of a whole run while it goes on: what stays as it is comes once, the rest when it has changed. */
export interface RunText {
  readonly settled: string; // never asked for again
  readonly settled_b: number;
  readonly rest: string;
  readonly left_b: number; // bytes before it all, which were left out
  readonly tag: string;
}

const LIMIT_B = 8_000_000; // of what was printed before one came: more makes a page slow, and nobody reads it there

/** Returns the text as it is now: `before` itself if nothing has changed. Throws Refusal. */
export async function gotRunText(run: string, before?: RunText): Promise<RunText> {
  const path = runLogPath(run);
  if (before) return later(before, await fetch(path, { credentials: "same-origin", headers: { Range: `bytes=${before.settled_b}-`, "If-None-Match": before.tag } }));
  const whole = await fetch(path, { credentials: "same-origin" });
  if (Number(whole.headers.get("Content-Length")) <= LIMIT_B) return later(undefined, whole);
  await whole.body?.cancel();
  return later(undefined, await fetch(path, { credentials: "same-origin", headers: { Range: `bytes=-${LIMIT_B}` } }));
}

async function later(before: RunText | undefined, answer: Response): Promise<RunText> {
  if (before && (answer.status === 304 || answer.status === 416)) return before;
  if (!answer.ok) throw refusal(answer.status, await answer.json().catch(() => null));
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const start_b = Number(/^bytes (\d+)-/.exec(answer.headers.get("Content-Range") ?? "")?.[1] ?? 0);
  const settled_b = Math.max(Number(answer.headers.get("Log-Settled") ?? 0), start_b);
  const text = (from: number, to?: number) => new TextDecoder().decode(bytes.subarray(from, to));
  const grown = before !== undefined && start_b === before.settled_b ? before : undefined;
  return {
    settled: (grown?.settled ?? "") + text(0, settled_b - start_b),
    settled_b,
    rest: text(settled_b - start_b),
    left_b: grown?.left_b ?? start_b,
    tag: answer.headers.get("ETag") ?? "",
  };
}
