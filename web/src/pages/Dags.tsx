import { Button, NativeSelect, Switch, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { Link, useLocation, useSearchParams } from "wouter";
import { type DagItem, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useLive, useRefresh } from "../api/live";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { Icon } from "../parts/Icon";
import { Sparkline } from "../parts/Sparkline";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Failed } from "../parts/Told";
import { useNow } from "../parts/now";
import { away, clock } from "../parts/times";
import { RunForm } from "./RunForm";

const PAGE = 100;
const TOPICS = ["dags", "runs"];

/** Every DAG of the folder: the first page of all. */
export function DagsPage() {
  const [query, setQuery] = useSearchParams();
  const [words, setWords] = useState(query.get("q") ?? "");
  const q = useDeferredValue(words);
  const label = query.get("label") ?? "";
  const [, go] = useLocation();
  const [starting, setStarting] = useState<string | null>(null);
  const list = useInfiniteQuery({
    queryKey: ["dags", q, label],
    queryFn: ({ pageParam }) => got(api.GET("/api/v1/dags", { params: { query: { q, label, cursor: pageParam, limit: PAGE } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: (before) => before,
  });
  useLive(TOPICS, useRefresh([["dags"]], 1500));
  const first = list.data?.pages[0];
  const rows = list.data?.pages.flatMap((page) => page.dags) ?? [];
  const choose = (value: string) => setQuery(value ? { label: value } : {});

  return (
    <Page title="DAGs" aside={first && <span className="quiet">{`${first.total.toLocaleString("en")} in ${first.folder}`}</span>}>
      <div className="tools" role="search">
        <TextInput
          aria-label="Search DAGs"
          placeholder="Search"
          leftSection={<Icon name="search" />}
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
        />
        <NativeSelect
          aria-label="Label"
          value={label}
          onChange={(event) => choose(event.currentTarget.value)}
          data={[{ value: "", label: "All labels" }, ...(first?.labels ?? [])]}
        />
      </div>
      {list.isError && <Failed error={list.error} again={() => void list.refetch()} />}
      {list.isPending && (
        <div className="loading" role="status">
          Loading
        </div>
      )}
      {first && rows.length === 0 && <None filtered={Boolean(q || label)} folder={first.folder} />}
      {rows.length > 0 && (
        <Rows rows={rows} onRun={setStarting} onEnd={() => list.hasNextPage && void list.fetchNextPage()} />
      )}
      {starting !== null && (
        <RunForm name={starting} onClose={() => setStarting(null)} onStarted={(run) => go(`/runs/${encodeURIComponent(run)}`)} />
      )}
    </Page>
  );
}

function None({ filtered, folder }: { readonly filtered: boolean; readonly folder: string }) {
  if (filtered) return <Empty title="No DAG is like that." />;
  return <Empty title="There are no DAGs yet.">Put a YAML file with steps into {folder}.</Empty>;
}

interface RowsProps {
  readonly rows: readonly DagItem[];
  readonly onRun: (name: string) => void;
  readonly onEnd: () => void;
}

function Rows({ rows, onRun, onEnd }: RowsProps) {
  const now = useNow(true);
  const may = useMay("operator");
  const columns: Column<DagItem>[] = [
    { key: "name", head: "Name", width: "minmax(120px, 2.4fr)", narrow: true, cell: (dag) => <Name dag={dag} /> },
    { key: "status", head: "Last run", width: "minmax(105px, 1fr)", narrow: true, cell: (dag) => <Last dag={dag} now={now} /> },
    { key: "past", head: "Durations", width: "104px", cell: (dag) => <Sparkline past={pastOf(dag)} /> },
    { key: "schedule", head: "Schedule", width: "minmax(110px, 1fr)", cell: (dag) => <Plan dag={dag} now={now} /> },
    { key: "live", head: "Active", width: "64px", cell: (dag) => hasTimes(dag) && <Suspend dag={dag} /> },
    {
      key: "run",
      head: "",
      width: "76px",
      narrow: true,
      cell: (dag) =>
        may && (
          <Button size="compact-sm" variant="light" disabled={!dag.valid} aria-label={`Run ${dag.name}`} onClick={() => onRun(dag.name)}>
            Run
          </Button>
        ),
    },
  ];
  return <Table label="DAGs" columns={columns} rows={rows} keyOf={(dag) => dag.file} row_px={57} onEnd={onEnd} />;
}

function pastOf(dag: DagItem) {
  return dag.recent.map((run) => ({ status: run.status, seconds: run.duration_s ?? 0 }));
}

function Name({ dag }: { readonly dag: DagItem }) {
  const labels = Object.entries(dag.labels);
  return (
    <>
      <div className="one-line">
        <Link href={`/dags/${encodeURIComponent(dag.name)}`}>{dag.name}</Link>
      </div>
      <div className="one-line quiet small">
        {dag.valid ? dag.description : <span className="state" data-tone="bad">{`✕ ${dag.faults[0]?.message ?? "broken"}`}</span>}
      </div>
      {labels.length > 0 && (
        <div className="chips">
          {labels.slice(0, 4).map(([key, value]) => (
            <span key={key} className="chip">
              {value ? `${key}=${value}` : key}
            </span>
          ))}
        </div>
      )}
    </>
  );
}

function Last({ dag, now }: { readonly dag: DagItem; readonly now: number }) {
  const run = dag.last_run;
  if (!run) return <span className="quiet">never ran</span>;
  return (
    <Link href={`/runs/${encodeURIComponent(run.run_id)}`}>
      <State state={run.status} />
      <div className="quiet small">{away(run.started_at, now)}</div>
    </Link>
  );
}

function Plan({ dag, now }: { readonly dag: DagItem; readonly now: number }) {
  const times = [...dag.schedule.start, ...dag.schedule.at];
  if (!times.length) return null;
  return (
    <>
      <div className="mono one-line" title={times.join("\n")}>
        {times.join(" · ")}
      </div>
      <div className="quiet small" title={clock(dag.next_run, now)}>
        {dag.suspended ? "suspended" : dag.next_run ? `next ${away(dag.next_run, now)}` : ""}
      </div>
    </>
  );
}

/** Whether a DAG has a schedule that could be suspended. */
export function hasTimes({ schedule }: DagItem): boolean {
  return [schedule.start, schedule.stop, schedule.restart, schedule.at].some((times) => times.length > 0);
}

/** The switch of a schedule: off means suspended. */
export function Suspend({ dag, label }: { readonly dag: DagItem; readonly label?: string }) {
  const may = useMay("operator");
  const change = useAct(
    (active: boolean) => {
      const call = { params: { path: { name: dag.name } } };
      return got(active ? api.POST("/api/v1/dags/{name}/resume", call) : api.POST("/api/v1/dags/{name}/suspend", call));
    },
    { touches: [["dags"], ["dag", dag.name], ["schedules"]], said: (active) => `The schedule of ${dag.name} is ${active ? "active" : "suspended"}.` },
  );
  return (
    <Switch
      aria-label={`Schedule of ${dag.name}`}
      label={label}
      checked={change.isPending ? change.variables : !dag.suspended}
      disabled={!may || !dag.valid}
      onChange={(event) => change.mutate(event.currentTarget.checked)}
    />
  );
}
