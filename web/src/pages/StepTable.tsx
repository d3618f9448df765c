import { TextInput } from "@mantine/core";
import { Suspense, lazy, useEffect, useMemo, useState } from "react";
import type { Run, StepItem } from "../api/client";
import { Icon } from "../parts/Icon";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { Loading } from "../parts/Told";
import { shortly, toneOf, worded } from "../parts/states";
import { clock, since } from "../parts/times";

const StepDetail = lazy(() => import("./StepDetail"));
const SEARCHED = 15; // fewer steps need no search

interface Props {
  readonly run: Run;
  readonly now: number;
  readonly chosen: string | undefined; // opened from the graph or the timeline
}

/** Every step of a run; each opens to its attempts and what it printed. */
export function StepTable({ run, now, chosen }: Props) {
  const [opened, setOpened] = useState<ReadonlySet<string>>(() => new Set(chosen === undefined ? failedOf(run) : [chosen]));
  const [words, setWords] = useState("");
  const [only, setOnly] = useState("");
  useEffect(() => {
    if (chosen !== undefined) setOpened((before) => new Set([...before, chosen]));
  }, [chosen]);
  const toggle = (step: string) => setOpened((before) => toggled(before, step));
  const rows = run.steps.filter((step) => (!only || step.state === only) && matches(step, words));
  const columns: Column<StepItem>[] = [
    { key: "step", head: "Step", width: "minmax(130px, 2fr)", narrow: true, cell: (step) => <Opener step={step} open={opened.has(step.id)} onPress={toggle} /> },
    { key: "state", head: "State", width: "minmax(104px, 0.8fr)", narrow: true, cell: (step) => <State state={step.state} /> },
    { key: "server", head: "Server", width: "minmax(70px, 0.6fr)", cell: (step) => <span className="one-line">{step.server}</span> },
    { key: "start", head: "Started", width: "100px", cell: (step) => <span className="numbers">{clock(step.started_at, now)}</span> },
    { key: "took", head: "Took", width: "76px", narrow: true, cell: (step) => <span className="numbers">{since(step.started_at ?? null, step.ended_at ?? null, now)}</span> },
    { key: "tries", head: "Attempts", width: "60px", cell: (step) => step.attempts || "" },
    { key: "why", head: "Note", width: "minmax(90px, 1.8fr)", cell: (step) => <Why step={step} /> },
  ];
  const served = run.steps.some((step) => step.server);
  return (
    <>
      <div className="tools step-tools" role="search">
        <h2>Steps</h2>
        <Counts steps={run.steps} only={only} onOnly={setOnly} />
        {run.steps.length > SEARCHED && (
          <TextInput size="xs" aria-label="Search steps" placeholder="Search steps" leftSection={<Icon name="search" />} value={words} onChange={(event) => setWords(event.currentTarget.value)} />
        )}
      </div>
      <Table
        label="Steps"
        columns={columns.filter((column) => served || column.key !== "server")}
        rows={rows}
        keyOf={(step) => step.id}
        below={(step) =>
          opened.has(step.id) && (
            <Suspense fallback={<Loading />}>
              <StepDetail run={run} step={step} />
            </Suspense>
          )
        }
      />
    </>
  );
}

/** Who comes to a run that failed wants to know why. */
function failedOf(run: Run): string[] {
  const failed = run.ended ? run.steps.find((step) => step.state === "failed") : undefined;
  return failed ? [failed.id] : [];
}

function matches(step: StepItem, words: string): boolean {
  return !words || `${step.id} ${step.state} ${step.server}`.toLowerCase().includes(words.toLowerCase());
}

/** How many steps are in which state; pressed, only those are shown. */
function Counts({ steps, only, onOnly }: { readonly steps: readonly StepItem[]; readonly only: string; readonly onOnly: (state: string) => void }) {
  const counts = useMemo(() => {
    const found = new Map<string, number>();
    for (const step of steps) found.set(step.state, (found.get(step.state) ?? 0) + 1);
    return [...found];
  }, [steps]);
  if (counts.length < 2 && !only) return null;
  return (
    <div className="chips" role="group" aria-label="Only steps that are">
      {counts.map(([state, count]) => (
        <button key={state} type="button" className="chip" data-tone={toneOf(state)} aria-pressed={state === only} onClick={() => onOnly(state === only ? "" : state)}>
          {`${count.toLocaleString("en")} ${worded(state)}`}
        </button>
      ))}
    </div>
  );
}

function toggled(before: ReadonlySet<string>, step: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(step)) after.add(step);
  return after;
}

function Opener({ step, open, onPress }: { readonly step: StepItem; readonly open: boolean; readonly onPress: (step: string) => void }) {
  return (
    <button type="button" className="opener" aria-expanded={open} title={step.id} onClick={() => onPress(step.id)}>
      <Icon name={open ? "down" : "right"} />
      <span className="one-line">{step.id}</span>
    </button>
  );
}

function Why({ step }: { readonly step: StepItem }) {
  const text = step.error || step.reason;
  return (
    <span className="one-line quiet small" title={text}>
      {shortly(text)}
    </span>
  );
}
