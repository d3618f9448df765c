import { NativeSelect, TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { useLocation, useSearchParams } from "wouter";
import { api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { Page } from "../layout/Page";
import { Icon } from "../parts/Icon";
import { Empty, Loaded } from "../parts/Told";
import { DagRows } from "./DagRows";
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
  const choose = (value: string) => setQuery(value ? { label: value } : {});

  return (
    <Page title="DAGs" aside={first && <span className="quiet one-line">{`${first.total.toLocaleString("en")} in ${first.folder}`}</span>}>
      <div className="tools" role="search">
        <TextInput
          aria-label="Search DAGs"
          placeholder="Search by name"
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
      <Loaded query={list}>
        {({ pages }) => {
          const rows = pages.flatMap((page) => page.dags);
          if (!rows.length) return <None filtered={Boolean(q || label)} folder={pages[0]?.folder ?? ""} />;
          const onEnd = () => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage();
          return <DagRows rows={rows} label={label} onLabel={choose} onRun={setStarting} onEnd={onEnd} />;
        }}
      </Loaded>
      {starting !== null && (
        <RunForm name={starting} onClose={() => setStarting(null)} onStarted={(run) => go(`/runs/${encodeURIComponent(run)}`)} />
      )}
    </Page>
  );
}

function None({ filtered, folder }: { readonly filtered: boolean; readonly folder: string }) {
  if (filtered) return <Empty title="No DAG is like that." />;
  return <Empty title="There are no DAGs yet.">Put a YAML file with steps into {folder}; it appears here by itself.</Empty>;
}
