import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { type RunItem, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { Page } from "../layout/Page";
import { Icon } from "../parts/Icon";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { by } from "../parts/states";
import { useNow } from "../parts/now";
import { ago, clock, since } from "../parts/times";

const STATUSES = ["running", "queued", "waiting", "succeeded", "partially_succeeded", "failed", "aborted", "rejected"];

/** Every run, the newest first. */
export default function Runs() {
  const [query, setQuery] = useSearchParams();
  const [words, setWords] = useState(query.get("q") ?? "");
  const q = useDeferredValue(words);
  const status = query.get("status") ?? "";
  useLive(["runs"], useRefresh([["runs"]], 1500));
  return (
    <Page title="Runs">
      <div className="tools" role="search">
        <TextInput aria-label="Search runs" placeholder="Run id or DAG" leftSection={<Icon name="search" />} value={words} onChange={(event) => setWords(event.currentTarget.value)} />
        <NativeSelect
          aria-label="Status"
          value={status}
          onChange={(event) => setQuery(event.currentTarget.value ? { status: event.currentTarget.value } : {})}
          data={[{ value: "", label: "Any status" }, ...STATUSES.map((value) => ({ value, label: value.replaceAll("_", " ") }))]}
        />
      </div>
      <RunRows filter={{ q, status }} />
    </Page>
  );
}

export interface RunFilter {
  readonly dag?: string;
  readonly workspace?: string;
  readonly q?: string;
  readonly status?: string;
}

/** The runs that pass a filter, as a table that goes on as one scrolls. */
export function RunRows({ filter }: { readonly filter: RunFilter }) {
  const list = useInfiniteQuery({
    queryKey: ["runs", filter],
    queryFn: ({ pageParam }) =>
      got(api.GET("/api/v1/runs", { params: { query: { ...filter, limit: 100, ...(pageParam ? { cursor: pageParam } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: (before) => before,
  });
  const more = () => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage();
  return (
    <Loaded query={list}>
      {({ pages }) => {
        const rows = pages.flatMap((page) => page.runs);
        if (!rows.length && !list.hasNextPage) return <None filter={filter} />;
        return (
          <>
            {rows.length > 0 && <Rows rows={rows} named={filter.dag === undefined} onEnd={more} />}
            {list.hasNextPage && (
              <Button mt="xs" size="compact-sm" variant="subtle" loading={list.isFetchingNextPage} onClick={more}>
                Older runs
              </Button>
            )}
          </>
        );
      }}
    </Loaded>
  );
}

function None({ filter }: { readonly filter: RunFilter }) {
  return filter.q || filter.status ? <Empty title="No run is like that." /> : <Empty title="Nothing has run yet." />;
}

function Rows({ rows, named, onEnd }: { readonly rows: readonly RunItem[]; readonly named: boolean; readonly onEnd: () => void }) {
  const now = useNow(true);
  const columns: Column<RunItem>[] = [
    { key: "name", head: "Run", width: "minmax(120px, 2fr)", narrow: true, cell: (run) => <Named run={run} named={named} /> },
    { key: "status", head: "Status", width: "minmax(105px, 1fr)", narrow: true, cell: (run) => <State state={run.status} /> },
    {
      key: "start",
      head: "Started",
      width: "minmax(84px, 0.8fr)",
      narrow: true,
      cell: (run) => <span className="one-line" title={clock(run.started_at ?? run.created_at, now)}>{ago(run.started_at ?? run.created_at, now)}</span>,
    },
    { key: "took", head: "Took", width: "92px", cell: (run) => <span className="numbers">{since(run.started_at ?? null, run.ended_at ?? null, now)}</span> },
    { key: "by", head: "By", width: "minmax(80px, 1fr)", cell: (run) => <span className="one-line" title={run.actor}>{by(run)}</span> },
  ];
  return <Table label="Runs" columns={columns} rows={rows} keyOf={(run) => run.run_id} row_px={48} onEnd={onEnd} />;
}

function Named({ run, named }: { readonly run: RunItem; readonly named: boolean }) {
  const href = `/runs/${encodeURIComponent(run.run_id)}`;
  if (!named) return <Link className="mono one-line" href={href}>{run.run_id}</Link>;
  return (
    <>
      <div className="one-line">
        <Link href={href}>{[run.workspace, run.workflow].filter(Boolean).join(" · ")}</Link>
      </div>
      <div className="quiet small one-line mono">{run.run_id}</div>
    </>
  );
}
