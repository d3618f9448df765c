import { ActionIcon } from "@mantine/core";
import { Link } from "wouter";
import type { DagItem } from "../api/client";
import { useMay } from "../api/session";
import { Icon } from "../parts/Icon";
import { Sparkline } from "../parts/Sparkline";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { inWords } from "../parts/cron";
import { useNow } from "../parts/now";
import { ago, away, clock } from "../parts/times";
import { Suspend, hasTimes } from "./Suspend";

interface Props {
  readonly rows: readonly DagItem[];
  readonly label: string; // that is filtered by
  readonly onLabel: (label: string) => void;
  readonly onRun: (name: string) => void;
  readonly onEnd: () => void;
}

/** DAGs with how they went, when they are due, and a button that runs them. */
export function DagRows({ rows, label, onLabel, onRun, onEnd }: Props) {
  const now = useNow(true);
  const may = useMay("operator");
  const columns: Column<DagItem>[] = [
    { key: "name", head: "Name", width: "minmax(120px, 2.6fr)", narrow: true, cell: (dag) => <Name dag={dag} label={label} onLabel={onLabel} /> },
    { key: "status", head: "Last run", width: "minmax(108px, 0.9fr)", narrow: true, cell: (dag) => <Last dag={dag} now={now} /> },
    { key: "past", head: "Durations", width: "100px", cell: (dag) => <Sparkline past={pastOf(dag)} /> },
    { key: "schedule", head: "Schedule", width: "minmax(130px, 1.1fr)", cell: (dag) => <Plan dag={dag} now={now} /> },
    { key: "live", head: "Active", width: "44px", cell: (dag) => hasTimes(dag) && <Suspend dag={dag} valid={dag.valid} /> },
    {
      key: "run",
      head: <span className="unseen">Run</span>,
      width: "32px",
      narrow: true,
      end: true,
      cell: (dag) =>
        may && (
          <ActionIcon variant="light" size={30} disabled={!dag.valid} aria-label={`Run ${dag.name}`} title={`Run ${dag.name}`} onClick={() => onRun(dag.name)}>
            <Icon name="play" />
          </ActionIcon>
        ),
    },
  ];
  return <Table label="DAGs" columns={columns} rows={rows} keyOf={(dag) => dag.file} row_px={52} onEnd={onEnd} />;
}

function pastOf(dag: DagItem) {
  return dag.recent.map((run) => ({ status: run.status, seconds: run.duration_s ?? 0 }));
}

const CHIPS = 3;

function Name({ dag, label, onLabel }: { readonly dag: DagItem } & Pick<Props, "label" | "onLabel">) {
  const labels = Object.entries(dag.labels).map(([key, value]) => (value ? `${key}=${value}` : key));
  return (
    <>
      <div className="dag-name">
        <Link className="one-line" href={`/dags/${encodeURIComponent(dag.name)}`}>
          {dag.name}
        </Link>
        {labels.slice(0, CHIPS).map((one) => (
          <button key={one} type="button" className="chip" tabIndex={-1} aria-pressed={one === label} title={`Only ${one}`} onClick={() => onLabel(one === label ? "" : one)}>
            {one}
          </button>
        ))}
        {labels.length > CHIPS && (
          <span className="quiet small" title={labels.slice(CHIPS).join(", ")}>
            {`+${labels.length - CHIPS}`}
          </span>
        )}
      </div>
      <div className="one-line quiet small" title={dag.description}>
        {dag.valid ? dag.description : <span className="state small" data-tone="bad">{`✕ ${dag.faults[0]?.message ?? "broken"}`}</span>}
      </div>
    </>
  );
}

function Last({ dag, now }: { readonly dag: DagItem; readonly now: number }) {
  const run = dag.last_run;
  if (!run) return <span className="quiet">never ran</span>;
  return (
    <Link href={`/runs/${encodeURIComponent(run.run_id)}`}>
      <State state={run.status} />
      <div className="quiet small" title={clock(run.started_at, now)}>
        {ago(run.started_at, now)}
      </div>
    </Link>
  );
}

function Plan({ dag, now }: { readonly dag: DagItem; readonly now: number }) {
  const times = [...dag.schedule.start, ...dag.schedule.at];
  if (!times.length) return null;
  return (
    <>
      <div className="one-line" title={times.join("\n")}>
        {times.map(inWords).join(" · ")}
      </div>
      <div className="quiet small" title={clock(dag.next_run, now)}>
        {dag.suspended ? "suspended" : dag.next_run ? `next ${away(dag.next_run, now)}` : ""}
      </div>
    </>
  );
}
