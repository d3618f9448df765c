import { TextInput } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { useDeferredValue, useState } from "react";
import { type AuditItem, api, got } from "../api/client";
import { Page } from "../layout/Page";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { clock } from "../parts/times";

/** What people and programs did, or tried. */
export default function Audit() {
  const now = useNow(false);
  const [who, setWho] = useState("");
  const [what, setWhat] = useState("");
  const filter = { actor: useDeferredValue(who), action: useDeferredValue(what) };
  const list = useInfiniteQuery({
    queryKey: ["audit", filter],
    queryFn: ({ pageParam }) => got(api.GET("/api/v1/audit", { params: { query: { ...filter, limit: 100, ...(pageParam ? { cursor: Number(pageParam) } : {}) } } })),
    initialPageParam: "",
    getNextPageParam: (page) => page.next || undefined,
    placeholderData: (before) => before,
  });
  const more = () => list.hasNextPage && !list.isFetchingNextPage && void list.fetchNextPage();
  const columns: Column<AuditItem>[] = [
    { key: "at", head: "When", width: "minmax(96px, 150px)", narrow: true, cell: (one) => clock(one.at, now) },
    { key: "who", head: "Who", width: "minmax(80px, 1fr)", narrow: true, cell: (one) => <span title={[one.role, one.address].filter(Boolean).join(", ")}>{one.actor || "nobody"}</span> },
    { key: "what", head: "What", width: "minmax(100px, 1.3fr)", narrow: true, cell: (one) => one.action },
    { key: "target", head: "On what", width: "minmax(110px, 2fr)", cell: (one) => <span className="mono one-line" title={one.detail || one.target}>{one.target}</span> },
    { key: "status", head: "Answer", width: "70px", cell: (one) => <span className="state" data-tone={one.status < 400 ? "good" : "bad"}>{`${one.status < 400 ? "✓" : "✕"} ${one.status}`}</span> },
  ];
  return (
    <Page title="Audit log">
      <div className="tools" role="search">
        <TextInput aria-label="Who" placeholder="Who, by name" value={who} onChange={(event) => setWho(event.currentTarget.value)} />
        <TextInput aria-label="What" placeholder="What, such as run.start" value={what} onChange={(event) => setWhat(event.currentTarget.value)} />
      </div>
      <Loaded query={list}>
        {({ pages }) => {
          const records = pages.flatMap((page) => page.records);
          return records.length ? <Table label="Audit log" columns={columns} rows={records} keyOf={(one) => String(one.id)} onEnd={more} /> : <Empty title="Nothing is recorded." />;
        }}
      </Loaded>
    </Page>
  );
}
