import { Alert, Button, Checkbox, Group, Modal, NumberInput, Stack, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Page } from "../layout/Page";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";
import { useNow } from "../parts/now";
import { away, clock } from "../parts/times";

const BACKFILLS = ["schedules", "backfills"];

/** What is due next, and runs for past times. */
export default function Schedules() {
  const now = useNow(true);
  const may = useMay("operator");
  const [filling, setFilling] = useState<string | null>(null);
  const list = useQuery({ queryKey: ["schedules"], queryFn: () => got(api.GET("/api/v1/schedules")), refetchInterval: 15_000 });
  type Item = NonNullable<typeof list.data>["schedules"][number];
  const columns: Column<Item>[] = [
    { key: "name", head: "DAG", width: "minmax(120px, 2fr)", narrow: true, cell: (one) => <Link href={`/dags/${encodeURIComponent(one.name)}`}>{one.name}</Link> },
    { key: "when", head: "Schedule", width: "minmax(110px, 1.5fr)", cell: (one) => <span className="mono one-line">{[...one.schedule.start, ...one.schedule.at].join(" · ")}</span> },
    {
      key: "next",
      head: "Next",
      width: "minmax(100px, 1fr)",
      narrow: true,
      cell: (one) => <span title={clock(one.next_run, now)}>{one.suspended ? "suspended" : away(one.next_run, now)}</span>,
    },
    {
      key: "fill",
      head: "",
      width: "92px",
      narrow: true,
      cell: (one) =>
        may && (
          <Button size="compact-sm" variant="light" aria-label={`Backfill ${one.name}`} onClick={() => setFilling(one.name)}>
            Backfill
          </Button>
        ),
    },
  ];
  return (
    <Page title="Schedules">
      <Loaded query={list}>
        {({ running, schedules }) => (
          <>
            {!running && (
              <Alert color="yellow" mb="md" title="This server starts nothing by itself.">
                Start it with --scheduler, or run a scheduler beside it.
              </Alert>
            )}
            {schedules.length ? <Table label="Schedules" columns={columns} rows={schedules} keyOf={(one) => one.name} /> : <Empty title="No DAG has a schedule." />}
          </>
        )}
      </Loaded>
      <Backfills />
      {filling !== null && <Fill name={filling} onClose={() => setFilling(null)} />}
    </Page>
  );
}

function Backfills() {
  const list = useQuery({ queryKey: BACKFILLS, queryFn: () => got(api.GET("/api/v1/schedules/backfills")), refetchInterval: 5000 });
  const all = list.data?.backfills ?? [];
  if (!all.length) return null;
  return (
    <>
      <h2>Backfills</h2>
      {all.map((one) => (
        <div key={one.id} className="panel">
          <strong>{one.name}</strong> <State state={one.over ? (one.failed ? "failed" : "succeeded") : "running"} />{" "}
          {`${one.ended} of ${one.total} ended, ${one.failed} failed, ${one.skipped} skipped${one.dry_run ? " (dry run)" : ""}`}
        </div>
      ))}
    </>
  );
}

function Fill({ name, onClose }: { readonly name: string; readonly onClose: () => void }) {
  const [start, setStart] = useState("");
  const [end, setEnd] = useState("");
  const [failed, setFailed] = useState(false);
  const [good, setGood] = useState(false);
  const [parallel, setParallel] = useState<number | string>(1);
  const fill = useAct(
    (dry_run: boolean) =>
      got(
        api.POST("/api/v1/schedules/{name}/backfill", {
          params: { path: { name } },
          body: {
            start: new Date(start).toISOString(),
            end: new Date(end).toISOString(),
            dry_run,
            reprocess_failed: failed,
            reprocess_successful: good,
            parallel: Number(parallel) || 1,
            limit: 1000,
          },
        }),
      ),
    { touches: [BACKFILLS, ["runs"]], then: (state) => !state.dry_run && onClose() },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    fill.mutate(false);
  };
  return (
    <Modal opened onClose={onClose} title={`Backfill ${name}`}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput type="datetime-local" required label="From" value={start} onChange={(event) => setStart(event.currentTarget.value)} />
          <TextInput type="datetime-local" required label="Until" value={end} onChange={(event) => setEnd(event.currentTarget.value)} />
          <NumberInput label="At most so many at once" min={1} max={100} value={parallel} onChange={setParallel} />
          <Checkbox label="Run failed times again" checked={failed} onChange={(event) => setFailed(event.currentTarget.checked)} />
          <Checkbox label="Run successful times again" checked={good} onChange={(event) => setGood(event.currentTarget.checked)} />
          {fill.data?.dry_run && (
            <div className="panel" role="status">
              {`${fill.data.total - fill.data.skipped} runs would start, ${fill.data.skipped} are skipped.`}
            </div>
          )}
          <Group justify="flex-end">
            <Button variant="default" disabled={!start || !end} loading={fill.isPending} onClick={() => fill.mutate(true)}>
              Dry run
            </Button>
            <Button type="submit" loading={fill.isPending}>
              Start
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}
