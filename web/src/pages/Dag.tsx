import { Button, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { type DagDetail, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { Facts } from "../parts/Facts";
import { Icon } from "../parts/Icon";
import { State } from "../parts/State";
import { Empty, Loaded, Loading } from "../parts/Told";
import { inWords, zoneOf } from "../parts/cron";
import { useNow } from "../parts/now";
import { away, dated } from "../parts/times";
import { Faults } from "./Faults";
import { HistoryGrid } from "./HistoryGrid";
import { RunForm } from "./RunForm";
import { RunRows } from "./Runs";
import { Source } from "./Source";
import { Suspend, hasTimes } from "./Suspend";
import { stepsOf } from "./graphs";

const DagGraph = lazy(() => import("../graph/DagGraph"));

/** One DAG: what it does, when, how it went, and a way to run it now. */
export default function Dag({ name }: { readonly name: string }) {
  const dag = useQuery({ queryKey: ["dag", name], queryFn: () => got(api.GET("/api/v1/dags/{name}", { params: { path: { name } } })) });
  useLive(["dags", "runs"], useRefresh([["dag", name], ["runs"]], 1500));
  const [starting, setStarting] = useState(false);
  const [, go] = useLocation();
  const may = useMay("operator");
  const aside = dag.data && (
    <>
      {dag.data.status && <State state={dag.data.status} />}
      <span className="head-space" />
      {hasTimes(dag.data) && <Suspend dag={dag.data} valid={dag.data.valid} label="Schedule active" />}
      {may && (
        <Button leftSection={<Icon name="play" />} disabled={!dag.data.valid} onClick={() => setStarting(true)}>
          Run now
        </Button>
      )}
    </>
  );
  return (
    <Page title={name} aside={aside}>
      <Loaded query={dag}>{(detail) => <Body dag={detail} />}</Loaded>
      {starting && <RunForm name={name} onClose={() => setStarting(false)} onStarted={(run) => go(`/runs/${encodeURIComponent(run)}`)} />}
    </Page>
  );
}

function Body({ dag }: { readonly dag: DagDetail }) {
  const [query, setQuery] = useSearchParams();
  const tab = query.get("tab") ?? (dag.valid ? "graph" : "source");
  return (
    <>
      {dag.description && <p>{dag.description}</p>}
      <About dag={dag} />
      <Faults faults={dag.faults} />
      <Tabs value={tab} onChange={(next) => setQuery(next ? { tab: next } : {})} keepMounted={false}>
        <Tabs.List aria-label="Views of this DAG">
          <Tabs.Tab value="graph">Graph</Tabs.Tab>
          <Tabs.Tab value="runs">Runs</Tabs.Tab>
          <Tabs.Tab value="source">Source</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="graph" pt="md">
          <GraphOf dag={dag} />
        </Tabs.Panel>
        <Tabs.Panel value="runs" pt="md">
          <HistoryGrid name={dag.name} />
          <h2>All runs</h2>
          <RunRows filter={{ dag: dag.name }} />
        </Tabs.Panel>
        <Tabs.Panel value="source" pt="md">
          <Source name={dag.name} faults={dag.faults} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function About({ dag }: { readonly dag: DagDetail }) {
  const now = useNow(true);
  const times = [...dag.schedule.start, ...dag.schedule.at];
  const zone = times.map(zoneOf).find(Boolean);
  const next = dag.next_run && !dag.suspended ? dag.next_run : null;
  return (
    <Facts
      facts={[
        ["File", <span className="mono">{dag.file}</span>],
        ["Type", dag.type],
        ["Steps", dag.steps?.toLocaleString("en")],
        ["Schedule", times.length > 0 && <span title={times.join("\n")}>{times.map(inWords).join(" · ")}</span>],
        ["Next run", next && `${away(next, now)}, ${dated(next)}${zone ? `, ${dated(next, zone)}` : ""}`],
        ["Stops", dag.schedule.stop.map(inWords).join(" · ")],
        ["Restarts", dag.schedule.restart.map(inWords).join(" · ")],
        ["Overlap", dag.overlap_policy !== "skip" && dag.overlap_policy],
        ["Queue", dag.queue],
        ["Labels", Object.entries(dag.labels).map(([key, value]) => (value ? `${key}=${value}` : key)).join(", ")],
      ]}
    />
  );
}

function GraphOf({ dag }: { readonly dag: DagDetail }) {
  const graph = useQuery({
    queryKey: ["dag", dag.name, "graph"],
    queryFn: () => got(api.GET("/api/v1/dags/{name}/graph", { params: { path: { name: dag.name } } })),
    enabled: dag.valid,
  });
  const [chosen, setChosen] = useState<string>();
  if (!dag.valid) return <Empty title="It has faults, so it has no graph." />;
  return (
    <Loaded query={graph}>
      {(found) => (
        <Suspense fallback={<Loading />}>
          <DagGraph label={`Graph of ${dag.name}`} steps={stepsOf(found)} selected={chosen} onSelect={setChosen} />
          <Chosen name={chosen} text={found.nodes.find((node) => node.id === chosen)?.does ?? ""} />
        </Suspense>
      )}
    </Loaded>
  );
}

function Chosen({ name, text }: { readonly name: string | undefined; readonly text: string }) {
  if (!name) return <p className="quiet small">Press a step to see what it does.</p>;
  return (
    <section className="panel chosen" aria-label={`What ${name} does`}>
      <strong>{name}</strong>
      <pre className="mono scroll">{text}</pre>
    </section>
  );
}
