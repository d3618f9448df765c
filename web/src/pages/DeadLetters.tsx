import { Button, NativeSelect } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { type LetterItem, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useLive, useRefresh } from "../api/live";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { Icon } from "../parts/Icon";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { shortly, worded } from "../parts/states";
import { ago, clock } from "../parts/times";
import { Letter } from "./Letter";

const KEY = ["dead-letters"];
const TOPICS = ["runs"];
const NONE = { false: "No step waits to be run again.", true: "No step was run again.", any: "No step has failed for good." } as const;
type Replayed = keyof typeof NONE;

/** Steps that failed for good, until somebody has them run again. */
export default function DeadLetters() {
  const [replayed, setReplayed] = useState<Replayed>("false");
  const [workspace, setWorkspace] = useState("");
  const known = useQuery({ queryKey: ["workspaces"], queryFn: () => got(api.GET("/api/v1/workspaces")) });
  const workspaces = known.data?.workspaces.filter((one) => one.exists).map((one) => one.name) ?? [];
  const list = useInfiniteQuery({
    queryKey: [...KEY, replayed, workspace],
    queryFn: ({ pageParam }) =>
      got(api.GET("/api/v1/dead-letters", { params: { query: { limit: 100, replayed, ...(workspace ? { workspace } : {}), ...(pageParam ? { cursor: Number(pageParam) } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: (before) => before,
  });
  useLive(TOPICS, useRefresh([KEY], 1500));
  const waiting = list.data?.pages[0]?.waiting ?? 0;
  const more = () => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage();
  return (
    <Page title="Dead letters" aside={<span className="quiet">{`${waiting.toLocaleString("en")} waiting`}</span>}>
      <p className="quiet">Steps that failed for good. Replay has one run again in its run.</p>
      <div className="tools">
        <NativeSelect
          aria-label="Which"
          value={replayed}
          onChange={(event) => setReplayed(event.currentTarget.value as Replayed)}
          data={[
            { value: "false", label: "Waiting" },
            { value: "true", label: "Run again" },
            { value: "any", label: "All" },
          ]}
        />
        {workspaces.length > 0 && (
          <NativeSelect
            aria-label="Of what"
            value={workspace}
            onChange={(event) => setWorkspace(event.currentTarget.value)}
            data={[{ value: "", label: "DAG files" }, ...workspaces.map((name) => ({ value: name, label: `Programs of ${name}` }))]}
          />
        )}
      </div>
      <Loaded query={list}>
        {({ pages }) => {
          const letters = pages.flatMap((page) => page.letters);
          if (letters.length) return <Letters letters={letters} onEnd={more} />;
          return <Empty title={NONE[replayed]} />;
        }}
      </Loaded>
    </Page>
  );
}

function Letters({ letters, onEnd }: { readonly letters: readonly LetterItem[]; readonly onEnd: () => void }) {
  const now = useNow(true);
  const [opened, setOpened] = useState<number>();
  const columns: Column<LetterItem>[] = [
    {
      key: "step",
      head: "Step",
      width: "minmax(130px, 1.2fr)",
      narrow: true,
      cell: (one) => (
        <button type="button" className="opener" aria-expanded={one.id === opened} title={one.error} onClick={() => setOpened(one.id === opened ? undefined : one.id)}>
          <Icon name={one.id === opened ? "down" : "right"} />
          <span className="one-line">{`${one.workflow} / ${one.step}`}</span>
        </button>
      ),
    },
    { key: "error", head: "Why", width: "minmax(120px, 2fr)", cell: (one) => <span className="one-line quiet small" title={one.error}>{shortly(one.error) || worded(one.error_kind)}</span> },
    { key: "tries", head: "Attempts", width: "64px", cell: (one) => one.attempt },
    {
      key: "at",
      head: "Failed",
      width: "90px",
      narrow: true,
      cell: (one) => (
        <span className="small" title={clock(one.died_at, now)}>
          {ago(one.died_at, now)}
        </span>
      ),
    },
    { key: "again", head: <span className="unseen">Replay</span>, width: "minmax(76px, 0.5fr)", narrow: true, end: true, cell: (one) => <Replay letter={one} /> },
  ];
  return (
    <Table
      label="Dead letters"
      columns={columns}
      rows={letters}
      keyOf={(one) => String(one.id)}
      onEnd={onEnd}
      below={(one) => one.id === opened && <Letter letter={one} />}
    />
  );
}

function Replay({ letter }: { readonly letter: LetterItem }) {
  const may = useMay("operator");
  const run = `/runs/${encodeURIComponent(letter.run_id)}?step=${encodeURIComponent(letter.step)}`;
  const replay = useAct(() => got(api.POST("/api/v1/dead-letters/{letter}/replay", { params: { path: { letter: letter.id }, query: letter.workspace ? { workspace: letter.workspace } : {} } })), {
    touches: [KEY, ["run", letter.run_id]],
    said: `${letter.step} runs again.`,
  });
  if (letter.replayed_at) return <Link className="small" href={run}>{`by ${letter.replayed_by || "somebody"}`}</Link>;
  if (!may) return null;
  return (
    <Button size="compact-sm" variant="light" loading={replay.isPending} aria-label={`Replay ${letter.workflow} ${letter.step}`} onClick={() => replay.mutate(undefined)}>
      Replay
    </Button>
  );
}
