import { Button, TextInput } from "@mantine/core";
import { Suspense, lazy, useEffect, useState } from "react";
import type { Run, StepItem } from "../api/client";
import { Icon } from "../parts/Icon";
import { State } from "../parts/State";
import { type Column, Table } from "../parts/Table";
import { clock, since } from "../parts/times";

const StepDetail = lazy(() => import("./StepDetail"));
const SEARCHED = 30; // fewer steps need no search

interface Props {
  readonly run: Run;
  readonly now: number;
  readonly chosen: string | undefined; // opened from the graph or the timeline
}

/** Every step of a run; each opens to its attempts and what it printed. */
export function StepTable({ run, now, chosen }: Props) {
  const [opened, setOpened] = useState<ReadonlySet<string>>(new Set(chosen === undefined ? [] : [chosen]));
  const [words, setWords] = useState("");
  useEffect(() => {
    if (chosen !== undefined) setOpened((before) => new Set([...before, chosen]));
  }, [chosen]);
  const toggle = (step: string) => setOpened((before) => toggled(before, step));
  const rows = words ? run.steps.filter((step) => `${step.id} ${step.state} ${step.server}`.toLowerCase().includes(words.toLowerCase())) : run.steps;
  const columns: Column<StepItem>[] = [
    { key: "step", head: "Step", width: "minmax(130px, 2fr)", narrow: true, cell: (step) => <Opener step={step} open={opened.has(step.id)} onPress={toggle} /> },
    { key: "state", head: "State", width: "minmax(110px, 1fr)", narrow: true, cell: (step) => <State state={step.state} /> },
    { key: "start", head: "Started", width: "110px", cell: (step) => clock(step.started_at, now) },
    { key: "took", head: "Took", width: "84px", narrow: true, cell: (step) => since(step.started_at ?? null, step.ended_at ?? null, now) },
    { key: "tries", head: "Attempts", width: "72px", cell: (step) => step.attempts || "" },
    { key: "why", head: "Note", width: "minmax(90px, 1.6fr)", cell: (step) => <Why step={step} /> },
  ];
  return (
    <>
      {run.steps.length > SEARCHED && (
        <div className="tools">
          <TextInput aria-label="Search steps" placeholder="Search steps" value={words} onChange={(event) => setWords(event.currentTarget.value)} />
        </div>
      )}
      <Table
        label="Steps"
        columns={columns}
        rows={rows}
        keyOf={(step) => step.id}
        below={(step) =>
          opened.has(step.id) && (
            <Suspense fallback={<p className="loading">Loading</p>}>
              <StepDetail run={run} step={step} />
            </Suspense>
          )
        }
      />
    </>
  );
}

function toggled(before: ReadonlySet<string>, step: string): ReadonlySet<string> {
  const after = new Set(before);
  if (!after.delete(step)) after.add(step);
  return after;
}

function Opener({ step, open, onPress }: { readonly step: StepItem; readonly open: boolean; readonly onPress: (step: string) => void }) {
  return (
    <Button
      variant="subtle"
      color="gray"
      size="compact-sm"
      justify="flex-start"
      fullWidth
      aria-expanded={open}
      leftSection={<Icon name={open ? "down" : "right"} />}
      onClick={() => onPress(step.id)}
    >
      <span className="one-line">{step.id}</span>
    </Button>
  );
}

function Why({ step }: { readonly step: StepItem }) {
  const text = step.error || step.reason;
  return (
    <span className="one-line quiet small" title={text}>
      {text}
    </span>
  );
}
