import { Button, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { type Approval, type Run, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";

/** What a run asks people. */
export function Approvals({ run }: { readonly run: Run }) {
  return run.approvals.map((asked) => <Waiting key={asked.step} run={run.run_id} asked={asked} />);
}

function Waiting({ run, asked }: { readonly run: string; readonly asked: Approval }) {
  const may = useMay("operator");
  const [rejecting, setRejecting] = useState(false);
  return (
    <section className="note" data-tone="wait" aria-label={`${asked.step} waits for approval`}>
      <strong>{asked.prompt || `${asked.step} waits for a person.`}</strong>
      {asked.prompt && <p className="quiet">{`${asked.step} waits for a person.`}</p>}
      {may && (rejecting ? <Reject run={run} step={asked.step} onBack={() => setRejecting(false)} /> : <Approve run={run} asked={asked} onReject={() => setRejecting(true)} />)}
    </section>
  );
}

function Approve({ run, asked, onReject }: { readonly run: string; readonly asked: Approval; readonly onReject: () => void }) {
  const { step, required } = asked;
  const names = [...new Set([...asked.inputs, ...required])];
  const [inputs, setInputs] = useState<Readonly<Record<string, string>>>({});
  const [tried, setTried] = useState(false);
  const approve = useAct(() => got(api.POST("/api/v1/runs/{run}/approve", { params: { path: { run } }, body: { step, inputs: filled(inputs) } })), {
    touches: [["run", run], ["runs"]],
    said: `${step} is approved.`,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (required.every((name) => inputs[name])) approve.mutate(undefined);
  };
  return (
    <form className="asked" noValidate onSubmit={submit}>
      {names.map((name) => (
        <TextInput
          key={name}
          label={name}
          required={required.includes(name)}
          error={tried && required.includes(name) && !inputs[name] ? "This is required." : ""}
          value={inputs[name] ?? ""}
          onChange={(event) => setInputs({ ...inputs, [name]: event.currentTarget.value })}
        />
      ))}
      <div className="asked-buttons">
        <Button color="green" type="submit" loading={approve.isPending}>
          Approve
        </Button>
        <Button color="red" variant="light" onClick={onReject}>
          Reject
        </Button>
      </div>
    </form>
  );
}

function Reject({ run, step, onBack }: { readonly run: string; readonly step: string; readonly onBack: () => void }) {
  const [reason, setReason] = useState("");
  const reject = useAct(() => got(api.POST("/api/v1/runs/{run}/reject", { params: { path: { run } }, body: { step, reason } })), {
    touches: [["run", run], ["runs"]],
    said: `${step} is rejected.`,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    reject.mutate(undefined);
  };
  return (
    <form className="asked" onSubmit={submit}>
      <TextInput autoFocus label="Why it is rejected" description="For the record; may stay empty" value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
      <div className="asked-buttons">
        <Button color="red" type="submit" loading={reject.isPending}>
          Reject it
        </Button>
        <Button variant="default" onClick={onBack}>
          Back
        </Button>
      </div>
    </form>
  );
}

function filled(inputs: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(inputs).filter(([, value]) => value));
}
