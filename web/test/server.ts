import { vi } from "vitest";
import type { DagDetail, DagItem, Graph, Run, RunItem, StepItem } from "../src/api/client";

/** What a test's server answers: by method and path, a body or a function of the request; or a whole Response. */
export type Answers = Readonly<Record<string, unknown>>;

export interface Asked {
  readonly call: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
}

/** Stands in for the server. What it does not know is 404, as problem+json. Returns the calls that were made. */
export function server(answers: Answers): Asked[] {
  const asked: Asked[] = [];
  vi.stubGlobal("fetch", async (input: Request | string, init?: RequestInit) => {
    const request = input instanceof Request ? input : new Request(new URL(input, location.origin), init);
    const address = new URL(request.url);
    const text = request.method === "GET" ? "" : await request.text();
    const one = { call: `${request.method} ${address.pathname}`, query: address.searchParams, body: text ? JSON.parse(text) : null };
    asked.push(one);
    if (one.call === "GET /api/v1/events/stream") return new Response(null, { status: 204 });
    const known = answers[one.call];
    const answer: unknown = typeof known === "function" ? known(one) : known;
    if (answer instanceof Response) return answer.clone();
    if (answer === undefined) return problem(404, `nothing is at ${one.call}`);
    return typeof answer === "string" ? new Response(answer) : Response.json(answer);
  });
  return asked;
}

export function problem(status: number, detail: string, hint = ""): Response {
  return Response.json({ title: "refused", status, detail, hint }, { status, headers: { "Content-Type": "application/problem+json" } });
}

export const ME = { name: "ann", role: "admin", by: "session" } as const;

export function dagItem(some: Partial<DagItem> = {}): DagItem {
  return {
    name: "nightly",
    file: "nightly.yaml",
    description: "What has to be done every night",
    group: "",
    labels: {},
    schedule: { start: ["0 4 * * *"], stop: [], restart: [], at: [] },
    next_run: null,
    suspended: false,
    valid: true,
    faults: [],
    status: null,
    last_run: null,
    recent: [],
    ...some,
  };
}

export function dagDetail(some: Partial<DagDetail> = {}): DagDetail {
  return { ...dagItem(), params: [], max_active_runs: 1, queue: "", overlap_policy: "", catchup_window_s: 0, skip_if_successful: false, ...some };
}

export function runItem(some: Partial<RunItem> = {}): RunItem {
  return {
    run_id: "run-1",
    workflow: "nightly",
    kind: "dagu",
    workspace: "",
    status: "succeeded",
    reason: "",
    exit_code: 0,
    created_at: "2026-01-01T04:00:00.000Z",
    started_at: "2026-01-01T04:00:00.000Z",
    ended_at: "2026-01-01T04:00:05.000Z",
    duration_s: 5,
    trigger: "api",
    actor: "ann",
    labels: {},
    ended: true,
    last_seq: 9,
    ...some,
  };
}

export function stepItem(id: string, some: Partial<StepItem> = {}): StepItem {
  return {
    id,
    kind: "step",
    formula: "",
    server: "",
    taskserv: "",
    state: "succeeded",
    reason: "",
    because: "",
    error_kind: "",
    error: "",
    attempts: 1,
    started_at: "2026-01-01T04:00:00.000Z",
    ended_at: "2026-01-01T04:00:05.000Z",
    log: "",
    stdout: "",
    stderr: "",
    ...some,
  };
}

export function runOf(steps: readonly StepItem[], some: Partial<Run> = {}): Run {
  return { ...runItem(), params: [], outputs: {}, steps: [...steps], waiting: [], approvals: [], paused: false, lost: false, ...some };
}

export function graphOf(ids: readonly string[]): Graph {
  const node = (id: string) => ({ id, label: id, kind: "shell", does: `does ${id}`, state: "", server: "", group: "", line: 1, approval: false, critical: false, layer: 0 });
  return { nodes: ids.map(node), edges: ids.slice(1).map((target, index) => ({ source: ids[index] ?? "", target, on: "success" })) };
}
