import { Button } from "@mantine/core";
import { type Run, type StepItem, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Icon } from "../parts/Icon";
import { Note } from "../parts/Note";
import { StepLogs } from "./StepLogs";

const GOING = new Set(["running", "dispatched"]);

/** What is known of one step: why it failed, its attempts, what it printed, and running it again. */
export default function StepDetail({ run, step }: { readonly run: Run; readonly step: StepItem }) {
  const reason = step.reason && step.reason !== step.error ? step.reason : "";
  return (
    <div className="below">
      {step.error ? <Note tone="bad">{step.error}</Note> : null}
      {reason && <p className="quiet">{reason}</p>}
      <Again run={run} step={step} />
      {step.attempts === 0 ? (
        <p className="quiet">{run.ended ? "It did not start." : "It has not started yet."}</p>
      ) : (
        <StepLogs run={run.run_id} step={step.id} version={`${step.attempts} ${step.state}`} going={GOING.has(step.state)} />
      )}
    </div>
  );
}

function Again({ run, step }: { readonly run: Run; readonly step: StepItem }) {
  const may = useMay("operator");
  const again = useAct(
    (downstream: boolean) => got(api.POST("/api/v1/runs/{run}/retry", { params: { path: { run: run.run_id } }, body: { step: step.id, downstream } })),
    { touches: [["run", run.run_id], ["runs"]], said: `${step.id} runs again.` },
  );
  if (!may || !run.ended || step.kind === "handler") return null;
  return (
    <div className="chips">
      <Button size="compact-sm" variant="default" leftSection={<Icon name="again" />} disabled={again.isPending} onClick={() => again.mutate(true)}>
        Retry from here
      </Button>
      <Button size="compact-sm" variant="default" disabled={again.isPending} onClick={() => again.mutate(false)}>
        Retry only this step
      </Button>
    </div>
  );
}
