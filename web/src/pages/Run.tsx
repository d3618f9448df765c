import { Alert, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, Suspense, lazy, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { type Graph, type Run, api, got } from "../api/client";
import { useRefresh } from "../api/live";
import { LivePage } from "../api/logs";
import { Page } from "../layout/Page";
import { State } from "../parts/State";
import { Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock, since } from "../parts/times";
import { needsOf, stepsOf } from "./graphs";
import { RunActions } from "./RunActions";
import { Approvals } from "./Approvals";
import { StepTable } from "./StepTable";

const DagGraph = lazy(() => import("../graph/DagGraph"));
const Gantt = lazy(() => import("../timeline/Gantt"));
const RunLog = lazy(() => import("./RunLog"));
const MANY = 1000; // steps; the answers for such runs are large

/** One run: live while it goes on, and to be repaired when it failed. */
export default function RunPage({ run }: { readonly run: string }) {
  const path = { params: { path: { run } } };
  const found = useQuery({
    queryKey: ["run", run],
    queryFn: () => got(api.GET("/api/v1/runs/{run}", path)),
    // What the stream may have missed while a laptop slept.
    refetchInterval: (query) => (query.state.data?.ended ? false : 15_000),
  });
  const graph = useQuery({ queryKey: ["run", run, "graph"], queryFn: () => got(api.GET("/api/v1/runs/{run}/graph", path)), staleTime: 60_000 });
  const large = (found.data?.steps.length ?? 0) > MANY;
  const anew = useRefresh([["run", run]], large ? 2000 : 300, true);
  const aside = found.data && (
    <>
      <State state={found.data.status} />
      <span className="head-space" />
      <RunActions run={found.data} />
    </>
  );
  return (
    <LivePage topics={[`run:${run}`]} onMessage={anew}>
      <Page title={found.data ? [found.data.workspace, found.data.workflow].filter(Boolean).join(" · ") : "Run"} aside={aside}>
        <Loaded query={found}>{(one) => <Body run={one} graph={graph.data} />}</Loaded>
      </Page>
    </LivePage>
  );
}

function Body({ run, graph }: { readonly run: Run; readonly graph: Graph | undefined }) {
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") ?? "steps";
  const [chosen, setChosen] = useState<string | undefined>(query.get("step") ?? undefined);
  const now = useNow(!run.ended);
  const choose = (step: string) => {
    setChosen(step);
    setQuery({ tab: "steps", step }, { replace: true });
  };
  return (
    <>
      <Facts run={run} now={now} />
      {run.reason && (
        <Alert mb="md" color={run.status === "failed" ? "red" : "gray"}>
          {run.reason}
        </Alert>
      )}
      <Approvals run={run} />
      <Tabs value={tab} onChange={(next) => setQuery(next ? { tab: next } : {})} keepMounted={false}>
        <Tabs.List aria-label="Views of this run">
          <Tabs.Tab value="steps">Steps</Tabs.Tab>
          <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
          <Tabs.Tab value="logs">Logs</Tabs.Tab>
          <Tabs.Tab value="values">Values</Tabs.Tab>
        </Tabs.List>
        <Suspense fallback={<p className="loading">Loading</p>}>
          <Tabs.Panel value="steps" pt="md">
            {graph && graph.nodes.length > 0 && (
              <DagGraph label={`Graph of ${run.workflow}`} steps={stepsOf(graph, run.steps)} selected={chosen} onSelect={choose} />
            )}
            <h2>Steps</h2>
            <StepTable run={run} now={now} chosen={chosen} />
          </Tabs.Panel>
          <Tabs.Panel value="timeline" pt="md">
            <Gantt steps={timed(run, graph)} now={now} onSelect={choose} />
          </Tabs.Panel>
          <Tabs.Panel value="logs" pt="md">
            <RunLog run={run} />
          </Tabs.Panel>
          <Tabs.Panel value="values" pt="md">
            <Values run={run} />
          </Tabs.Panel>
        </Suspense>
      </Tabs>
    </>
  );
}

function timed(run: Run, graph: Graph | undefined) {
  const needs = graph ? needsOf(graph) : new Map<string, string[]>();
  return run.steps.map((step) => ({
    id: step.id,
    state: step.state,
    needs: needs.get(step.id) ?? [],
    started_at: step.started_at ?? null,
    ended_at: step.ended_at ?? null,
  }));
}

function Facts({ run, now }: { readonly run: Run; readonly now: number }) {
  const done = run.steps.filter((step) => step.ended_at).length;
  return (
    <dl className="facts">
      <Fact name="Run">
        <span className="mono">{run.run_id}</span>
      </Fact>
      {run.kind === "dagu" && (
        <Fact name="DAG">
          <Link href={`/dags/${encodeURIComponent(run.workflow)}`}>{run.workflow}</Link>
        </Fact>
      )}
      {run.workspace && (
        <Fact name="Workspace">
          <Link href={`/workspaces/${encodeURIComponent(run.workspace)}`}>{run.workspace}</Link>
        </Fact>
      )}
      <Fact name="Started">{clock(run.started_at ?? run.created_at, now)}</Fact>
      <Fact name="Took">{since(run.started_at ?? null, run.ended_at ?? null, now)}</Fact>
      <Fact name="Steps">{`${done.toLocaleString("en")} of ${run.steps.length.toLocaleString("en")}`}</Fact>
      <Fact name="By">{[run.trigger, run.actor].filter(Boolean).join(", ")}</Fact>
      {run.exit_code !== null && run.exit_code !== undefined && <Fact name="Exit code">{run.exit_code}</Fact>}
    </dl>
  );
}

function Fact({ name, children }: { readonly name: string; readonly children: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Values({ run }: { readonly run: Run }) {
  const outputs = Object.entries(run.outputs);
  return (
    <>
      <h2>Parameters</h2>
      <Pairs none="It was given no parameters." pairs={run.params.map(([name, value], index) => [String(name ?? index + 1), value])} />
      <h2>Outputs</h2>
      <Pairs none="It has no outputs." pairs={outputs} />
    </>
  );
}

function Pairs({ pairs, none }: { readonly pairs: readonly (readonly [string, unknown])[]; readonly none: string }) {
  if (!pairs.length) return <p className="quiet">{none}</p>;
  return (
    <dl className="pairs">
      {pairs.map(([name, value]) => (
        <div key={name}>
          <dt className="mono">{name}</dt>
          <dd className="mono">{typeof value === "string" ? value : JSON.stringify(value)}</dd>
        </div>
      ))}
    </dl>
  );
}
