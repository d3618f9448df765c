import type { Run } from "../api/client";

/** The text of a run that goes on: what has ended, then what runs. Pure. */

export interface Going {
  readonly step: string;
  readonly attempt: number;
}

export interface Part extends Going {
  readonly stream: string;
  readonly text: string;
}

const RUNNING = new Set(["running", "dispatched"]);
const MOST = 9; // steps whose two outputs are followed: a connection has twenty topics
const PART_CHARS = 300_000; // of what runs; all of it is there when it has ended
const HEAD = /^==> (.+) attempt (\d+) (?:stdout|stderr) \((?:running|dispatched)[,)].*<==$/;

/** Returns the steps that print now. */
export function goingOf(run: Run): Going[] {
  return run.steps
    .filter((step) => RUNNING.has(step.state) && step.attempts > 0)
    .slice(0, MOST)
    .map((step) => ({ step: step.id, attempt: step.attempts }));
}

/** Returns another text whenever an attempt has begun or ended. */
export function version(run: Run): string {
  const tries = run.steps.reduce((sum, step) => sum + step.attempts, 0);
  const running = run.steps.reduce((sum, step) => sum + (RUNNING.has(step.state) ? 1 : 0), 0);
  return `${tries} ${running} ${run.ended}`;
}

/** Returns a run's text without the parts of what was going. */
export function settled(text: string, going: readonly Going[]): string {
  if (!going.length) return text;
  const out = new Set(going.map((one) => `${one.step} ${one.attempt}`));
  let kept = true;
  return text
    .split("\n")
    .filter((line) => {
      if (line.startsWith("==> ") && line.endsWith(" <==")) {
        const found = HEAD.exec(line);
        kept = !(found && out.has(`${found[1]} ${found[2]}`));
      }
      return kept;
    })
    .join("\n");
}

export function joined(text: string, parts: readonly Part[]): string {
  const told = parts.flatMap((one) => {
    if (!one.text) return [];
    const end = one.text.length > PART_CHARS ? `...\n${one.text.slice(one.text.indexOf("\n", one.text.length - PART_CHARS) + 1)}` : one.text;
    return [`==> ${one.step} attempt ${one.attempt} ${one.stream} (running) <==\n${end}`];
  });
  const before = text && told.length && !text.endsWith("\n\n") ? `${text.replace(/\n+$/, "")}\n\n` : text;
  return before + told.join("\n\n");
}
