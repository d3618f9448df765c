import { useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { type Run, api, got } from "../api/client";
import { toneOf, worded } from "../parts/states";
import { clock, span } from "../parts/times";
import "./history.css";

const RUNS = 14;
const STEPS = 60;
const BAR_PX = 34;
const MARKS = { good: "✓", bad: "✕", busy: "●", wait: "◷", part: "◐", none: "·" } as const;

/** The newest runs of a DAG beside one another, step by step, below how long each took. */
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
  const longest_s = Math.max(...runs.map((run) => run.duration_s ?? 0), 0.001);
  return (
    <div className="scroll" tabIndex={0} role="group" aria-label="The newest runs, step by step">
      <table className="history">
        <thead>
          <tr>
            <th scope="col">
              <span className="quiet small">{`at most ${span(longest_s)}`}</span>
            </th>
            {runs.map((run) => (
              <th key={run.run_id} scope="col">
                <Bar run={run} longest_s={longest_s} />
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.slice(0, STEPS).map((step) => (
            <tr key={step}>
              <th scope="row" className="one-line" title={step}>
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

function Bar({ run, longest_s }: { readonly run: Run; readonly longest_s: number }) {
  const took = run.duration_s === null || run.duration_s === undefined ? "" : ` after ${span(run.duration_s)}`;
  const told = `${worded(run.status)}${took}, ${clock(run.created_at, Date.now())}`;
  return (
    <Link className="history-bar" data-tone={toneOf(run.status)} href={`/runs/${encodeURIComponent(run.run_id)}`} aria-label={`run ${told}`} title={told}>
      <span style={{ height: Math.max(4, ((run.duration_s ?? 0) / longest_s) * BAR_PX) }} />
    </Link>
  );
}

function Cell({ state, run, step }: { readonly state: string; readonly run: Run; readonly step: string }) {
  if (!state) return null;
  const tone = toneOf(state);
  const told = `${step} ${worded(state)}, ${clock(run.created_at, Date.now())}`;
  return (
    <Link className="grid-cell" data-tone={tone} href={`/runs/${encodeURIComponent(run.run_id)}?step=${encodeURIComponent(step)}`} aria-label={told} title={told}>
      {MARKS[tone]}
    </Link>
  );
}
