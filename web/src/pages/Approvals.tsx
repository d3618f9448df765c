import { Button, Group, TextInput, Textarea } from "@mantine/core";
import { useState } from "react";
import { type Run, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";

/** The steps of a run that wait for a person. */
export function Approvals({ run }: { readonly run: Run }) {
  const may = useMay("operator");
  const steps = run.steps.filter((step) => step.state === "waiting").map((step) => step.id);
  // What waits is a gate behind a step; people know it by the step.
  return (steps.length ? steps : run.waiting).map((step) => <Waiting key={step} run={run.run_id} step={step} may={may} />);
}

function Waiting({ run, step, may }: { readonly run: string; readonly step: string; readonly may: boolean }) {
  const [inputs, setInputs] = useState("");
  const [reason, setReason] = useState("");
  const path = { params: { path: { run } } };
  const touches = [["run", run], ["runs"]];
  const approve = useAct(() => got(api.POST("/api/v1/runs/{run}/approve", { ...path, body: { step, inputs: read(inputs) } })), {
    touches,
    said: `${step} is approved.`,
  });
  const reject = useAct(() => got(api.POST("/api/v1/runs/{run}/reject", { ...path, body: { step, reason } })), {
    touches,
    said: `${step} is rejected.`,
  });
  const busy = approve.isPending || reject.isPending;
  return (
    <section className="panel" aria-label={`${step} waits for approval`}>
      <strong>{step}</strong> waits for a person.
      {may && (
        <>
          <Group align="end" mt="xs">
            <Button color="green" disabled={busy} loading={approve.isPending} onClick={() => approve.mutate(undefined)}>
              Approve
            </Button>
            <Button color="red" variant="light" disabled={busy} loading={reject.isPending} onClick={() => reject.mutate(undefined)}>
              Reject
            </Button>
            <TextInput aria-label="Reason for rejecting" placeholder="Reason for rejecting" value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
          </Group>
          <details>
            <summary>Values to fill in</summary>
            <Textarea
              aria-label="Values, one NAME=VALUE per line"
              placeholder="NAME=VALUE, one per line"
              value={inputs}
              onChange={(event) => setInputs(event.currentTarget.value)}
            />
          </details>
        </>
      )}
    </section>
  );
}

/** Returns the values of lines like `NAME=VALUE`. */
function read(text: string): Record<string, string> {
  const pairs = text.split("\n").flatMap((line) => {
    const at = line.indexOf("=");
    return at > 0 ? [[line.slice(0, at).trim(), line.slice(at + 1)] as const] : [];
  });
  return Object.fromEntries(pairs);
}
