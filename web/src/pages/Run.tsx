import { Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useCallback, useMemo, useRef, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { type Graph, type Run, api, got } from "../api/client";
import { useRefresh } from "../api/live";
import { LivePage } from "../api/logs";
import { Page } from "../layout/Page";
import { Facts } from "../parts/Facts";
import { Note } from "../parts/Note";
import { Progress } from "../parts/Progress";
import { State } from "../parts/State";
import { Loaded, Loading } from "../parts/Told";
import { by, toneOf } from "../parts/states";
import { useNow } from "../parts/now";
import { clock, since } from "../parts/times";
import { needsOf, stepsOf } from "./graphs";
import { RunActions } from "./RunActions";
import { Approvals } from "./Approvals";
import { StepTable } from "./StepTable";
import { Values } from "./Values";

// Nothing below the graph moves when it comes.
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
        <Loaded query={found}>{(one) => <Body run={one} graph={graph.data} waiting={graph.isPending} />}</Loaded>
      </Page>
    </LivePage>
  );
}

interface BodyProps {
  readonly run: Run;
  readonly graph: Graph | undefined;
  readonly waiting: boolean; // for the graph
}

function Body({ run, graph, waiting }: BodyProps) {
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") ?? "steps";
  const [chosen, setChosen] = useState<string | undefined>(query.get("step") ?? undefined);
  const now = useNow(!run.ended);
  const set = useRef(setQuery);
  set.current = setQuery;
  const choose = useCallback((step: string) => {
    setChosen(step);
    set.current({ tab: "steps", step }, { replace: true });
  }, []);
  // The clock ticks every second; thousands of steps are not gone through each time.
  const boxes = useMemo(() => (graph ? stepsOf(graph, run.steps) : []), [graph, run.steps]);
  return (
    <>
      <About run={run} now={now} />
      <Progress states={run.steps.map((step) => step.state)} />
      {run.lost && <Note tone="wait" title="Nobody drives this run any more.">The process that did is gone. Retry goes on where it was.</Note>}
      {run.reason && <Note tone={toneOf(run.status)}>{run.reason}</Note>}
      <Approvals run={run} />
      <Tabs value={tab} onChange={(next) => setQuery(next ? { tab: next } : {})} keepMounted={false}>
        <Tabs.List aria-label="Views of this run">
          <Tabs.Tab value="steps">Steps</Tabs.Tab>
          <Tabs.Tab value="timeline">Timeline</Tabs.Tab>
          <Tabs.Tab value="logs">Logs</Tabs.Tab>
          <Tabs.Tab value="values">Values</Tabs.Tab>
        </Tabs.List>
        <Suspense fallback={<Loading />}>
          <Tabs.Panel value="steps" pt="md">
            {waiting && <div className="graph-wait" />}
            {boxes.length > 0 && <DagGraph label={`Graph of ${run.workflow}`} steps={boxes} selected={chosen} onSelect={choose} />}
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

function About({ run, now }: { readonly run: Run; readonly now: number }) {
  const done = run.steps.filter((step) => step.ended_at).length;
  return (
    <Facts
      facts={[
        ["Run", <span className="mono">{run.run_id}</span>],
        ["DAG", run.kind === "dagu" && <Link href={`/dags/${encodeURIComponent(run.workflow)}`}>{run.workflow}</Link>],
        ["Workspace", run.workspace && <Link href={`/workspaces/${encodeURIComponent(run.workspace)}`}>{run.workspace}</Link>],
        ["Started", clock(run.started_at ?? run.created_at, now)],
        ["Took", <span className="numbers">{since(run.started_at ?? null, run.ended_at ?? null, now)}</span>],
        ["Steps", <span className="numbers">{`${done.toLocaleString("en")} of ${run.steps.length.toLocaleString("en")}`}</span>],
        ["By", by(run)],
        ["Exit code", run.exit_code],
      ]}
    />
  );
}
