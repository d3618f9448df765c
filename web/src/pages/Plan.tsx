import { Button, Checkbox, NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { type PlanStep, type Provision, type Workspace, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Icon } from "../parts/Icon";
import { type Column, Table } from "../parts/Table";
import { Empty, Loaded } from "../parts/Told";

const EVERYTHING = "";
const TONES: Readonly<Record<string, string>> = { create: "busy", changed: "part", reset: "wait", verify: "none", unchanged: "good" };

interface Flags {
  readonly only: boolean;
  readonly update: boolean;
  readonly reset: boolean;
  readonly reset_prerequisites: boolean;
}

const FLAGS: readonly { readonly key: keyof Flags; readonly label: string; readonly named: boolean }[] = [
  { key: "only", label: "Without what it needs", named: true },
  { key: "update", label: "Also update what has changed", named: false },
  { key: "reset", label: "Also install again what is completed", named: false },
  { key: "reset_prerequisites", label: "What it needs again, too", named: true },
];

/** What would be done, why, and a button that does it. */
export function Plan({ workspace }: { readonly workspace: Workspace }) {
  const [target, setTarget] = useState(EVERYTHING);
  const [flags, setFlags] = useState<Flags>({ only: false, update: false, reset: false, reset_prerequisites: false });
  const { name, infra } = workspace;
  const choose = (next: string) => {
    setTarget(next);
    if (next === EVERYTHING) setFlags({ ...flags, only: false, reset_prerequisites: false });
  };
  const asked = { ...flags, ...(target ? { taskserv: target } : {}), ...(infra ? { infra } : {}) };
  const plan = useQuery({
    queryKey: ["workspace", name, "plan", asked],
    queryFn: () => got(api.GET("/api/v1/workspaces/{name}/plan", { params: { path: { name }, query: asked } })),
    placeholderData: (before) => before,
  });
  const taskservs = workspace.taskservs.filter((one) => one.formulas.length > 0).map((one) => one.name);
  const runs = plan.data?.steps.filter((step) => step.runs).length ?? 0;
  const again = flags.reset || flags.reset_prerequisites;
  return (
    <>
      <div className="tools">
        <NativeSelect
          label="Install"
          value={target}
          onChange={(event) => choose(event.currentTarget.value)}
          data={[{ value: EVERYTHING, label: "Everything" }, ...taskservs]}
        />
        <Start name={name} asked={{ ...asked, everything: !target }} again={again} disabled={!runs || Boolean(workspace.busy)} />
      </div>
      <div className="tools">
        {FLAGS.filter((flag) => target || !flag.named).map((flag) => (
          <Checkbox
            key={flag.key}
            label={flag.label}
            checked={flags[flag.key]}
            onChange={(event) => setFlags({ ...flags, [flag.key]: event.currentTarget.checked })}
          />
        ))}
      </div>
      <Loaded query={plan}>
        {({ steps, notes }) => (
          <>
            {notes.map((note) => (
              <p key={note} className="quiet">
                {note}
              </p>
            ))}
            {steps.length ? <Steps steps={steps} runs={runs} /> : <Empty title="There is nothing to do." />}
          </>
        )}
      </Loaded>
    </>
  );
}

interface StartProps {
  readonly name: string;
  readonly asked: Partial<Provision>;
  readonly again: boolean; // what is there already is installed anew
  readonly disabled: boolean;
}

function Start({ name, asked, again, disabled }: StartProps) {
  const may = useMay("operator");
  const [, go] = useLocation();
  const body: Provision = {
    everything: false,
    servers: [],
    only: false,
    update: false,
    reset: false,
    reset_prerequisites: false,
    upload: false,
    keep_going: false,
    max_parallel: 0,
    ...asked,
  };
  const start = useAct(() => got(api.POST("/api/v1/workspaces/{name}/provision", { params: { path: { name } }, body })), {
    touches: [["workspace", name], ["runs"]],
    said: "The plan is being carried out.",
    then: ({ run_id }) => run_id && go(`/runs/${encodeURIComponent(run_id)}`),
  });
  if (!may) return null;
  return (
    <Button color={again ? "red" : "blue"} leftSection={<Icon name="play" />} disabled={disabled} loading={start.isPending} onClick={() => start.mutate(undefined)}>
      Provision
    </Button>
  );
}

function Steps({ steps, runs }: { readonly steps: readonly PlanStep[]; readonly runs: number }) {
  const columns: Column<PlanStep>[] = [
    { key: "step", head: "Step", width: "minmax(130px, 1.6fr)", narrow: true, cell: (step) => <Named step={step} /> },
    { key: "server", head: "Server", width: "minmax(80px, 1fr)", cell: (step) => step.server },
    {
      key: "action",
      head: "What happens",
      width: "minmax(96px, 0.8fr)",
      narrow: true,
      cell: (step) => (
        <span className="state" data-tone={TONES[step.action] ?? "none"}>
          {step.action}
        </span>
      ),
    },
    { key: "why", head: "Why", width: "minmax(120px, 2fr)", cell: (step) => <span className="quiet">{reason(step.because)}</span> },
  ];
  return (
    <>
      <div className="tools step-tools">
        <strong>{`${runs} of ${steps.length} steps run.`}</strong>
        <Counts steps={steps} />
      </div>
      <Table label="Plan" columns={columns} rows={steps} keyOf={(step) => step.id} />
    </>
  );
}

function Counts({ steps }: { readonly steps: readonly PlanStep[] }) {
  const counts = new Map<string, number>();
  for (const step of steps) counts.set(step.action, (counts.get(step.action) ?? 0) + 1);
  return (
    <span className="chips">
      {[...counts].map(([action, count]) => (
        <span key={action} className="chip state small" data-tone={TONES[action] ?? "none"}>{`${count} ${action}`}</span>
      ))}
    </span>
  );
}

/** The plan's words for why a step is in it, as an answer to that question. */
function reason(because: string): string {
  return because.replace(/\btarget\b/, "asked for");
}

function Named({ step }: { readonly step: PlanStep }) {
  return (
    <>
      <div className="one-line">{step.id}</div>
      <div className="quiet small">{step.kind === "gate" ? "health gate" : [step.operation, step.profile].filter(Boolean).join(" · ")}</div>
    </>
  );
}
