import { Button, Checkbox, Modal, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { Link } from "wouter";
import { type BackfillState, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Sure } from "../parts/Sure";
import { State } from "../parts/State";
import { dated, zoneHere } from "../parts/times";
import { worded } from "../parts/states";

const KEY = ["schedules", "backfills"];
const ITEMS = 200; // shown
const DAY_MS = 86_400_000;

/** The backfills of this server, how far they are, and what became of each time. */
export function Backfills() {
  const list = useQuery({
    queryKey: KEY,
    queryFn: () => got(api.GET("/api/v1/schedules/backfills")),
    refetchInterval: (query) => (query.state.data?.backfills.some((one) => !one.over) ? 1500 : 15_000),
  });
  const all = (list.data?.backfills ?? []).filter((one) => !one.dry_run);
  if (!all.length) return null;
  return (
    <>
      <h2>Backfills</h2>
      {all.map((one) => (
        <One key={one.id} one={one} />
      ))}
    </>
  );
}

function One({ one }: { readonly one: BackfillState }) {
  const runs = Math.max(1, one.total - one.skipped);
  const state = !one.over ? "running" : one.stopped ? "aborted" : one.failed ? "failed" : "succeeded";
  const part = (count: number) => ({ width: `${(count / runs) * 100}%` });
  return (
    <section className="panel" aria-label={`Backfill of ${one.name}`}>
      <div className="backfill-head">
        <Link href={`/dags/${encodeURIComponent(one.name)}?tab=runs`}>{one.name}</Link>
        <State state={state} />
        <span className="quiet numbers">{`${one.ended} of ${one.total - one.skipped} ended, ${one.failed} failed, ${one.skipped} skipped`}</span>
        <span className="head-space" />
        {!one.over && <Stop one={one} />}
      </div>
      <div className="backfill-bar" aria-hidden="true">
        <span data-tone="good" style={part(one.ended - one.failed)} />
        <span data-tone="bad" style={part(one.failed)} />
        <span data-tone="busy" style={part(one.started - one.ended)} />
      </div>
      <details>
        <summary>{`${one.total.toLocaleString("en")} times`}</summary>
        <Items items={one.items} />
      </details>
    </section>
  );
}

function Stop({ one }: { readonly one: BackfillState }) {
  const may = useMay("operator");
  const stop = useAct(() => got(api.POST("/api/v1/schedules/backfills/{backfill}/stop", { params: { path: { backfill: one.id } } })), {
    touches: [KEY, ["runs"]],
    said: `The backfill of ${one.name} is stopped.`,
  });
  return may ? <Sure action="Stop" what={`the backfill of ${one.name}`} busy={stop.isPending} act={() => stop.mutate(undefined)} /> : null;
}

function Items({ items }: Pick<BackfillState, "items"> & object) {
  return (
    <ul className="backfill-items" tabIndex={0} aria-label="Times">
      {items?.slice(0, ITEMS).map((item) => (
        <li key={item.run_id}>
          <span className="numbers">{dated(item.at).replace(/ \S+$/, "")}</span>
          {item.status ? (
            <Link href={`/runs/${encodeURIComponent(item.run_id)}`}>
              <State state={item.status} />
            </Link>
          ) : (
            <span>{worded(item.action)}</span>
          )}
          {item.because && <span className="quiet">{item.because}</span>}
        </li>
      ))}
      {(items?.length ?? 0) > ITEMS && <li className="quiet">{`and ${((items?.length ?? 0) - ITEMS).toLocaleString("en")} more`}</li>}
    </ul>
  );
}

/** Asks for which past times a DAG should run, says which those are, and starts them. */
export function Backfill({ name, onClose }: { readonly name: string; readonly onClose: () => void }) {
  const [start, setStart] = useState(() => local(Date.now() - DAY_MS));
  const [end, setEnd] = useState(() => local(Date.now()));
  const [failed, setFailed] = useState(false);
  const [good, setGood] = useState(false);
  const [newest, setNewest] = useState(false);
  const [parallel, setParallel] = useState("1");
  const body = { reprocess_failed: failed, reprocess_successful: good, newest_first: newest, parallel: Number(parallel) || 1, limit: 1000, params: {} };
  const fill = useAct(
    (dry_run: boolean) =>
      got(
        api.POST("/api/v1/schedules/{name}/backfill", {
          params: { path: { name } },
          body: { ...body, dry_run, start: new Date(start).toISOString(), end: new Date(end).toISOString() },
        }),
      ),
    { touches: [KEY, ["runs"]], then: (state) => !state.dry_run && onClose() },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    fill.mutate(false);
  };
  const zone = `as in ${zoneHere()}`;
  return (
    <Modal opened onClose={onClose} title={`Backfill ${name}`}>
      <form className="stack" onSubmit={submit}>
        <p className="quiet">Past times of its schedule are run, each exactly once.</p>
        <TextInput data-autofocus type="datetime-local" required label="From" description={zone} value={start} onChange={(event) => setStart(event.currentTarget.value)} />
        <TextInput type="datetime-local" required label="Until" description={zone} value={end} onChange={(event) => setEnd(event.currentTarget.value)} />
        <TextInput type="number" label="At most so many at once" min={1} max={100} value={parallel} onChange={(event) => setParallel(event.currentTarget.value)} />
        <Checkbox label="Run failed times again" checked={failed} onChange={(event) => setFailed(event.currentTarget.checked)} />
        <Checkbox label="Run successful times again" checked={good} onChange={(event) => setGood(event.currentTarget.checked)} />
        <Checkbox label="The newest time first" checked={newest} onChange={(event) => setNewest(event.currentTarget.checked)} />
        {fill.data?.dry_run && (
          <div className="panel" role="status">
            {`${fill.data.total - fill.data.skipped} runs would start, ${fill.data.skipped} are skipped.`}
            <Items items={fill.data.items} />
          </div>
        )}
        <div className="row-end">
          <Button variant="default" disabled={!start || !end} loading={fill.isPending && fill.variables} onClick={() => fill.mutate(true)}>
            Dry run
          </Button>
          <Button type="submit" loading={fill.isPending && !fill.variables}>
            Start
          </Button>
        </div>
      </form>
    </Modal>
  );
}

/** Returns a time as a field for dates and times has it, in this browser's zone. */
function local(at_ms: number): string {
  const at = new Date(at_ms);
  return new Date(at_ms - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
