import { Button, Switch } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { type LetterItem, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { type Column, Table } from "../parts/Table";
import { Empty, Failed } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock } from "../parts/times";

const KEY = ["dead-letters"];

/** Steps that failed for good, until somebody has them run again. */
export default function DeadLetters() {
  const [all, setAll] = useState(false);
  const list = useInfiniteQuery({
    queryKey: [...KEY, all],
    queryFn: ({ pageParam }) =>
      got(api.GET("/api/v1/dead-letters", { params: { query: { limit: 100, ...(all ? {} : { replayed: false }), ...(pageParam ? { cursor: Number(pageParam) } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
  });
  const letters = list.data?.pages.flatMap((page) => page.letters) ?? [];
  const waiting = list.data?.pages[0]?.waiting ?? 0;
  return (
    <Page title="Dead letters" aside={<span className="quiet">{`${waiting.toLocaleString("en")} waiting`}</span>}>
      <div className="tools">
        <Switch label="Also those that were run again" checked={all} onChange={(event) => setAll(event.currentTarget.checked)} />
      </div>
      {list.isError && <Failed error={list.error} again={() => void list.refetch()} />}
      {list.isPending && <p className="loading">Loading</p>}
      {list.data && (letters.length ? <Letters letters={letters} onEnd={() => list.hasNextPage && void list.fetchNextPage()} /> : <Empty title="No step has failed for good." />)}
    </Page>
  );
}

function Letters({ letters, onEnd }: { readonly letters: readonly LetterItem[]; readonly onEnd: () => void }) {
  const now = useNow(false);
  const columns: Column<LetterItem>[] = [
    {
      key: "step",
      head: "Step",
      width: "minmax(130px, 1.5fr)",
      narrow: true,
      cell: (one) => (
        <Link className="one-line" href={`/runs/${encodeURIComponent(one.run_id)}?step=${encodeURIComponent(one.step)}`}>
          {`${one.workflow} / ${one.step}`}
        </Link>
      ),
    },
    { key: "error", head: "Error", width: "minmax(120px, 2fr)", cell: (one) => <span title={one.error}>{one.error || one.error_kind}</span> },
    { key: "at", head: "Died", width: "130px", cell: (one) => clock(one.died_at, now) },
    { key: "again", head: "", width: "minmax(92px, 0.7fr)", narrow: true, cell: (one) => <Replay letter={one} /> },
  ];
  return <Table label="Dead letters" columns={columns} rows={letters} keyOf={(one) => String(one.id)} onEnd={onEnd} />;
}

function Replay({ letter }: { readonly letter: LetterItem }) {
  const may = useMay("operator");
  const replay = useAct(() => got(api.POST("/api/v1/dead-letters/{letter}/replay", { params: { path: { letter: letter.id } } })), {
    touches: [KEY, ["run", letter.run_id]],
    said: `${letter.step} runs again.`,
  });
  if (letter.replayed_at) return <span className="quiet small">{`by ${letter.replayed_by}`}</span>;
  if (!may || letter.workspace) return null;
  return (
    <Button size="compact-sm" variant="light" loading={replay.isPending} aria-label={`Replay ${letter.workflow} ${letter.step}`} onClick={() => replay.mutate(undefined)}>
      Replay
    </Button>
  );
}
