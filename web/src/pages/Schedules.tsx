import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { type ScheduleItem, api, got } from "../api/client";
import { useLive, useRefresh } from "../api/live";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { Note } from "../parts/Note";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { inWords } from "../parts/cron";
import { useNow } from "../parts/now";
import { away, dated, zoneHere } from "../parts/times";
import { Backfill, Backfills } from "./Backfill";
import { Suspend } from "./Suspend";
import { Upcoming } from "./Upcoming";

/** What is due next, and runs for past times. */
export default function Schedules() {
  const [filling, setFilling] = useState<string | null>(null);
  const list = useQuery({ queryKey: ["schedules"], queryFn: () => got(api.GET("/api/v1/schedules")), refetchInterval: 30_000 });
  useLive(["dags", "runs"], useRefresh([["schedules"]], 2000));
  return (
    <Page title="Schedules" aside={<span className="quiet">{`times as in ${zoneHere()}`}</span>}>
      <Loaded query={list}>
        {({ running, schedules }) => (
          <>
            {!running && (
              <Note tone="wait" title="This server starts nothing by itself.">
                Start it with --scheduler, or run a scheduler beside it.
              </Note>
            )}
            {schedules.length > 0 && <Upcoming />}
            <Backfills />
            {schedules.length ? <All schedules={schedules} onFill={setFilling} /> : <Empty title="No DAG has a schedule." />}
          </>
        )}
      </Loaded>
      {filling !== null && <Backfill name={filling} onClose={() => setFilling(null)} />}
    </Page>
  );
}

function All({ schedules, onFill }: { readonly schedules: readonly ScheduleItem[]; readonly onFill: (name: string) => void }) {
  const now = useNow(true);
  const may = useMay("operator");
  const columns: Column<ScheduleItem>[] = [
    {
      key: "name",
      head: "DAG",
      width: "minmax(110px, 1.4fr)",
      narrow: true,
      cell: (one) => (
        <Link className="one-line" href={`/dags/${encodeURIComponent(one.name)}`}>
          {one.name}
        </Link>
      ),
    },
    { key: "when", head: "Schedule", width: "minmax(130px, 1.6fr)", cell: (one) => <When one={one} /> },
    { key: "next", head: "Next", width: "minmax(96px, 1.2fr)", narrow: true, cell: (one) => <Next one={one} now={now} /> },
    { key: "rules", head: "Rules", width: "minmax(80px, 1fr)", cell: (one) => <span className="quiet small">{rules(one)}</span> },
    { key: "live", head: "Active", width: "44px", narrow: true, cell: (one) => <Suspend dag={one} /> },
    {
      key: "fill",
      head: <span className="unseen">Backfill</span>,
      width: "78px",
      end: true,
      cell: (one) =>
        may && (
          <Button size="compact-sm" variant="light" aria-label={`Backfill ${one.name}`} onClick={() => onFill(one.name)}>
            Backfill
          </Button>
        ),
    },
  ];
  const rows = [...schedules].sort((one, other) => rank(one).localeCompare(rank(other)));
  return (
    <>
      <h2>All schedules</h2>
      <Table label="Schedules" columns={columns} rows={rows} keyOf={(one) => one.name} row_px={48} />
    </>
  );
}

/** What is due first comes first; what is suspended comes last. */
function rank(one: ScheduleItem): string {
  return `${one.suspended || !one.next_run ? "z" : one.next_run} ${one.name}`;
}

function When({ one }: { readonly one: ScheduleItem }) {
  const times = [...one.schedule.start, ...one.schedule.at];
  const others = [...one.schedule.stop.map((time) => `stops ${inWords(time)}`), ...one.schedule.restart.map((time) => `restarts ${inWords(time)}`)];
  return (
    <>
      <div className="one-line">{times.map(inWords).join(" · ")}</div>
      <div className="quiet small mono one-line" title={[...times, ...others].join("\n")}>
        {[...times, ...others].join(" · ")}
      </div>
    </>
  );
}

function Next({ one, now }: { readonly one: ScheduleItem; readonly now: number }) {
  if (one.suspended) return <span className="quiet">{`suspended${one.paused_by ? ` by ${one.paused_by}` : ""}`}</span>;
  if (!one.next_run) return <span className="quiet">never</span>;
  return (
    <>
      <div className="numbers">{away(one.next_run, now)}</div>
      <div className="quiet small one-line">{dated(one.next_run).replace(/ \S+$/, "")}</div>
    </>
  );
}

function rules(one: ScheduleItem): string {
  return [
    one.overlap_policy && `overlap: ${one.overlap_policy}`,
    one.catchup_window_s > 0 && `catches up ${Math.round(one.catchup_window_s / 60)} min`,
    one.skip_if_successful && "not twice if it succeeded",
  ]
    .filter(Boolean)
    .join(", ");
}
