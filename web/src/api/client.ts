import createClient from "openapi-fetch";
import { refusal } from "./problem";
import type { components, paths } from "./schema";

type Schemas = components["schemas"];
export type DagItem = Schemas["DagItem"];
export type DagDetail = Schemas["DagDetail"];
export type Fault = Schemas["Fault"];
export type Graph = Schemas["Graph"];
export type Param = Schemas["Param"];
export type Run = Schemas["Run"];
export type RunItem = Schemas["RunItem"];
export type StepItem = Schemas["StepItem"];
export type Approval = Schemas["Approval"];
export type Attempt = Schemas["Attempt"];
export type LetterItem = Schemas["LetterItem"];
export type AuditItem = Schemas["AuditItem"];
export type PlanStep = Schemas["PlanStep"];
export type ResourceItem = Schemas["ResourceItem"];
export type ServerItem = Schemas["Server"];
export type Me = Schemas["Me"];
export type Role = Me["role"];
export type User = Schemas["User"];
export type TokenItem = Schemas["Token"];
export type Due = Schemas["Due"];
export type ScheduleItem = Schemas["ScheduleItem"];
export type BackfillState = Schemas["BackfillState"];
export type Workspace = Schemas["Workspace"];
export type Provision = Schemas["Provision"];

/** The calls of the API's contract. Asked for late, so that tests can stand in for the network. */
export const api = createClient<paths>({ baseUrl: location.origin, fetch: (request) => fetch(request) });

interface Answer<T> {
  readonly data?: T | undefined;
  readonly error?: unknown;
  readonly response: Response;
}

/** Returns what was asked for. Throws Refusal with the server's words. */
export async function got<T>(call: Promise<Answer<T>>): Promise<NonNullable<T>> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined || data === null) throw refusal(response.status, error);
  return data;
}

export interface LogEnd {
  readonly text: string;
  readonly left_b: number; // bytes before it, which were left out
}

const LOG_END_B = 4_000_000; // more makes a page slow, and nobody reads it there

/** Returns a log, or the end of a very long one from a whole line on. */
export async function gotLog(place: LogPlace): Promise<LogEnd> {
  const answer = await fetch(logPath(place), { credentials: "same-origin", headers: { Range: `bytes=-${LOG_END_B}` } });
  if (answer.status === 416) return { text: "", left_b: 0 };
  if (!answer.ok) throw refusal(answer.status, await answer.json().catch(() => null));
  const text = await answer.text();
  const left_b = Number(/^bytes (\d+)-/.exec(answer.headers.get("Content-Range") ?? "")?.[1] ?? 0);
  return { text: left_b ? text.slice(text.indexOf("\n") + 1) : text, left_b };
}

export interface LogPlace {
  readonly run: string;
  readonly step: string;
  readonly stream: "stdout" | "stderr";
  readonly attempt?: number | undefined;
}

export function logPath({ run, step, stream, attempt }: LogPlace): string {
  const named = step.split("/").map(encodeURIComponent).join("/");
  const query = new URLSearchParams({ stream, ...(attempt === undefined ? {} : { attempt: String(attempt) }) });
  return `/api/v1/runs/${encodeURIComponent(run)}/steps/${named}/log?${query}`;
}

export function runLogPath(run: string): string {
  return `/api/v1/runs/${encodeURIComponent(run)}/log`;
}
