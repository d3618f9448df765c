import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type Run, api, got } from "../api/client";
import { toneOf, worded } from "../parts/states";
import { clock } from "../parts/times";

const RUNS = 12;
const STEPS = 60;
const MARKS = { good: "✓", bad: "✕", busy: "●", wait: "◷", part: "◐", none: "·" } as const;

/** The newest runs of a DAG beside one another, step by step. */
export function HistoryGrid({ name }: { readonly name: string }) {
  const list = useQuery({
    queryKey: ["runs", "grid", name],
    queryFn: () => got(api.GET("/api/v1/runs", { params: { query: { dag: name, limit: RUNS } } })),
  });
  const ids = (list.data?.runs ?? []).slice().reverse();
  const found = useQueries({
    queries: ids.map((item) => ({
      queryKey: ["run", item.run_id, item.last_seq],
      queryFn: () => got(api.GET("/api/v1/runs/{run}", { params: { path: { run: item.run_id } } })),
      staleTime: Number.POSITIVE_INFINITY, // of this event
    })),
  });
  const runs = found.flatMap((one) => (one.data ? [one.data] : []));
  if (!runs.length) return null;
  const steps = [...new Set(runs.flatMap((run) => run.steps.map((step) => step.id)))];
  return (
    <div className="scroll" tabIndex={0}>
      <table className="history">
        <caption className="unseen">The newest runs, step by step</caption>
        <thead>
          <tr>
            <th scope="col">
              <span className="unseen">Step</span>
            </th>
            {runs.map((run) => (
              <th key={run.run_id} scope="col">
                <Cell state={run.status} run={run} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.slice(0, STEPS).map((step) => (
            <tr key={step}>
              <th scope="row" className="one-line">
                {step}
              </th>
              {runs.map((run) => (
                <td key={run.run_id}>
                  <Cell state={run.steps.find((one) => one.id === step)?.state ?? ""} run={run} step={step} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {steps.length > STEPS && <p className="quiet">{`and ${(steps.length - STEPS).toLocaleString("en")} more steps`}</p>}
    </div>
  );
}

function Cell({ state, run, step }: { readonly state: string; readonly run: Run; readonly step?: string }) {
  if (!state) return null;
  const tone = toneOf(state);
  const told = `${step ?? "run"} ${worded(state)}, ${clock(run.created_at, Date.now())}`;
  const query = step === undefined ? "" : `?step=${encodeURIComponent(step)}`;
  return (
    <Link className="grid-cell" data-tone={tone} href={`/runs/${encodeURIComponent(run.run_id)}${query}`} aria-label={told} title={told}>
      {MARKS[tone]}
    </Link>
  );
}
