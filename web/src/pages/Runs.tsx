import { Button, NativeSelect, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { Link, useSearchParams } from "wouter";
import { type RunItem, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { Page } from "../layout/Page";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Failed } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock, since } from "../parts/times";

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
        <TextInput aria-label="Search runs" placeholder="Run id or DAG" value={words} onChange={(event) => setWords(event.currentTarget.value)} />
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
  const rows = list.data?.pages.flatMap((page) => page.runs) ?? [];
  const now = useNow(rows.some((run) => !run.ended));
  if (list.isPending) return <p className="loading">Loading</p>;
  if (list.isError) return <Failed error={list.error} again={() => void list.refetch()} />;
  if (!rows.length) return <Empty title="No runs." />;
  const columns: Column<RunItem>[] = [
    { key: "name", head: "Run", width: "minmax(120px, 2fr)", narrow: true, cell: (run) => <Named run={run} now={now} /> },
    { key: "status", head: "Status", width: "minmax(105px, 1fr)", narrow: true, cell: (run) => <State state={run.status} /> },
    { key: "start", head: "Started", width: "130px", cell: (run) => clock(run.started_at ?? run.created_at, now) },
    { key: "took", head: "Took", width: "92px", cell: (run) => since(run.started_at ?? null, run.ended_at ?? null, now) },
    { key: "by", head: "By", width: "minmax(80px, 1fr)", cell: (run) => <span className="one-line">{run.trigger || run.actor}</span> },
  ];
  return (
    <>
      <Table label="Runs" columns={columns} rows={rows} keyOf={(run) => run.run_id} row_px={54} onEnd={() => list.hasNextPage && void list.fetchNextPage()} />
      {list.hasNextPage && (
        <Button mt="xs" size="compact-sm" variant="subtle" loading={list.isFetchingNextPage} onClick={() => void list.fetchNextPage()}>
          Older runs
        </Button>
      )}
    </>
  );
}

function Named({ run, now }: { readonly run: RunItem; readonly now: number }) {
  return (
    <>
      <Link className="one-line" href={`/runs/${encodeURIComponent(run.run_id)}`}>
        {run.workflow}
      </Link>
      <div className="quiet small one-line">
        <span className="mono">{run.run_id.slice(0, 13)}</span> {clock(run.created_at, now)}
      </div>
    </>
  );
}
