import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { type Run, type StepItem, type Workspace, api, got } from "../api/client";
import DagGraph from "../graph/DagGraph";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { shortly } from "../parts/states";
import { clock, since } from "../parts/times";
import { stepsOf } from "./graphs";

interface Props {
  readonly workspace: Workspace;
  readonly run: Run | undefined; // the newest
}

/** The formulas as they depend on one another, and what their health gates said in the newest run. */
export default function Formulas({ workspace, run }: Props) {
  const { name, infra } = workspace;
  const graph = useQuery({
    queryKey: ["workspace", name, "graph", infra],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}/graph", { params: { path: { name }, query: infra ? { infra } : {} } })),
    enabled: workspace.valid,
  });
  const [chosen, setChosen] = useState<string>();
  if (!workspace.valid) return <Empty title="It has faults, so it has no graph." />;
  return (
    <Loaded query={graph}>
      {(found) =>
        found.nodes.length ? (
          <>
            <DagGraph label={`Formulas of ${name}`} steps={stepsOf(found)} selected={chosen} onSelect={setChosen} />
            {chosen !== undefined && (
              <p className="panel">
                <strong>{chosen}</strong>
                {`: ${found.nodes.find((node) => node.id === chosen)?.does ?? ""}`}
              </p>
            )}
            {run && <Gates run={run} />}
          </>
        ) : (
          <Empty title="It has no DAG: taskservs are installed one by one." />
        )
      }
    </Loaded>
  );
}

function Gates({ run }: { readonly run: Run }) {
  const now = useNow(!run.ended);
  const gates = run.steps.filter((step) => step.kind === "gate");
  if (!gates.length) return null;
  const href = (step: StepItem) => `/runs/${encodeURIComponent(run.run_id)}?step=${encodeURIComponent(step.id)}`;
  const columns: Column<StepItem>[] = [
    { key: "gate", head: "Gate", width: "minmax(110px, 1.2fr)", narrow: true, cell: (one) => <Link className="one-line" href={href(one)}>{one.id}</Link> },
    { key: "server", head: "Server", width: "minmax(70px, 0.8fr)", cell: (one) => one.server },
    { key: "state", head: "State", width: "minmax(110px, 0.8fr)", narrow: true, cell: (one) => <State state={one.state} /> },
    { key: "at", head: "Since", width: "100px", cell: (one) => clock(one.started_at, now) },
    { key: "took", head: "Took", width: "76px", narrow: true, cell: (one) => <span className="numbers">{since(one.started_at ?? null, one.ended_at ?? null, now)}</span> },
    { key: "says", head: "Note", width: "minmax(100px, 2fr)", cell: (one) => <span className="one-line quiet small" title={one.error}>{shortly(one.error || one.reason)}</span> },
  ];
  return (
    <>
      <h2>Health gates</h2>
      <Table label="Gates" columns={columns} rows={gates} keyOf={(one) => one.id} />
    </>
  );
}
