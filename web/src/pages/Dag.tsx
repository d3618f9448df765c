import { Alert, Button, Tabs } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Suspense, lazy, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { type DagDetail, type Fault, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { Icon } from "../parts/Icon";
import { State } from "../parts/State";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { away, clock } from "../parts/times";
import { Suspend, hasTimes } from "./Dags";
import { HistoryGrid } from "./HistoryGrid";
import { RunForm } from "./RunForm";
import { RunRows } from "./Runs";
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
      <State state={dag.data.status} />
      <span className="head-space" />
      {hasTimes(dag.data) && <Suspend dag={dag.data} label="Schedule active" />}
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
      <Facts dag={dag} />
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
          <Source name={dag.name} />
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Facts({ dag }: { readonly dag: DagDetail }) {
  const now = useNow(true);
  const times = [...dag.schedule.start, ...dag.schedule.at];
  const facts: [string, string][] = [
    ["File", dag.file],
    ["Type", dag.type ?? ""],
    ["Steps", dag.steps?.toLocaleString("en") ?? ""],
    ["Schedule", times.join(" · ")],
    ["Next run", dag.next_run && !dag.suspended ? `${away(dag.next_run, now)} (${clock(dag.next_run, now)})` : ""],
    ["Stops", dag.schedule.stop.join(" · ")],
    ["Restarts", dag.schedule.restart.join(" · ")],
    ["Queue", dag.queue],
    ["Labels", Object.entries(dag.labels).map(([key, value]) => (value ? `${key}=${value}` : key)).join(", ")],
  ];
  return (
    <dl className="facts">
      {facts
        .filter(([, value]) => value)
        .map(([key, value]) => (
          <div key={key}>
            <dt>{key}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

export function Faults({ faults }: { readonly faults: readonly Fault[] }) {
  if (!faults.length) return null;
  return (
    <Alert color="red" mb="md" title={faults.length === 1 ? "One fault" : `${faults.length} faults`}>
      <ul>
        {faults.map((one, index) => (
          <li key={index}>
            {one.line > 0 && <span className="mono">{`${one.file}:${one.line}:${one.column} `}</span>}
            {one.message}
            {one.hint && <span className="quiet">{` – ${one.hint}`}</span>}
          </li>
        ))}
      </ul>
    </Alert>
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
        <Suspense fallback={<p className="loading">Loading</p>}>
          <DagGraph label={`Graph of ${dag.name}`} steps={stepsOf(found)} selected={chosen} onSelect={setChosen} />
          <Chosen text={found.nodes.find((node) => node.id === chosen)?.does ?? ""} />
        </Suspense>
      )}
    </Loaded>
  );
}

function Chosen({ text }: { readonly text: string }) {
  return text ? <pre className="panel mono scroll">{text}</pre> : null;
}

function Source({ name }: { readonly name: string }) {
  const source = useQuery({
    queryKey: ["dag", name, "source"],
    queryFn: () => got(api.GET("/api/v1/dags/{name}/source", { params: { path: { name } } })),
  });
  const checked = useQuery({
    queryKey: ["dag", name, "validate"],
    queryFn: () => got(api.GET("/api/v1/dags/{name}/validate", { params: { path: { name } } })),
  });
  return (
    <>
      <Loaded query={source}>
        {({ text, file }) => (
          <pre className="source" tabIndex={0} aria-label={file}>
            {text.replace(/\n$/, "").split("\n").map((line, index) => (
              <span key={index}>{line}</span>
            ))}
          </pre>
        )}
      </Loaded>
      {checked.data && checked.data.notes.length > 0 && (
        <>
          <h2>How it was read</h2>
          <ul>
            {checked.data.notes.map((note, index) => (
              <li key={index}>
                {note.line > 0 && <span className="mono">{`line ${note.line}: `}</span>}
                {note.message}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}
