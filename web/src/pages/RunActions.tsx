import { Button, Modal, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { useLocation } from "wouter";
import { type Run, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Icon } from "../parts/Icon";
import { RunForm } from "./RunForm";

/** What may be done with a run now: stopped, held, run again where it failed, or once more from the beginning. */
export function RunActions({ run }: { readonly run: Run }) {
  const may = useMay("operator");
  if (!may) return null;
  return run.ended || run.lost ? <Again run={run} /> : <Steer run={run} />;
}

function Again({ run }: { readonly run: Run }) {
  const [, go] = useLocation();
  const [starting, setStarting] = useState(false);
  const retry = useAct(() => got(api.POST("/api/v1/runs/{run}/retry", { params: { path: { run: run.run_id } }, body: { downstream: true } })), {
    touches: [["run", run.run_id], ["runs"]],
    said: "The run goes on where it failed.",
  });
  return (
    <>
      {run.kind === "dagu" && (
        <Button variant="default" leftSection={<Icon name="play" />} onClick={() => setStarting(true)}>
          Run again
        </Button>
      )}
      {run.status !== "succeeded" && (
        <Button leftSection={<Icon name="again" />} loading={retry.isPending} onClick={() => retry.mutate(undefined)}>
          Retry
        </Button>
      )}
      {starting && (
        <RunForm
          name={run.workflow}
          before={run.params}
          onClose={() => setStarting(false)}
          onStarted={(id) => go(`/runs/${encodeURIComponent(id)}`)}
        />
      )}
    </>
  );
}

function Steer({ run }: { readonly run: Run }) {
  const [stopping, setStopping] = useState(false);
  const path = { params: { path: { run: run.run_id } } };
  const hold = useAct(() => got(run.paused ? api.POST("/api/v1/runs/{run}/resume", path) : api.POST("/api/v1/runs/{run}/pause", path)), {
    touches: [["run", run.run_id], ["runs"]],
  });
  return (
    <>
      <Button variant="default" leftSection={<Icon name={run.paused ? "play" : "pause"} />} loading={hold.isPending} onClick={() => hold.mutate(undefined)}>
        {run.paused ? "Resume" : "Pause"}
      </Button>
      <Button color="red" variant="light" leftSection={<Icon name="stop" />} onClick={() => setStopping(true)}>
        Cancel
      </Button>
      {stopping && <Stop run={run.run_id} onClose={() => setStopping(false)} />}
    </>
  );
}

function Stop({ run, onClose }: { readonly run: string; readonly onClose: () => void }) {
  const [reason, setReason] = useState("");
  const stop = useAct(() => got(api.POST("/api/v1/runs/{run}/cancel", { params: { path: { run } }, body: { reason } })), {
    touches: [["run", run], ["runs"]],
    said: "The run is being stopped.",
    then: onClose,
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    stop.mutate(undefined);
  };
  return (
    <Modal opened onClose={onClose} title="Stop this run?">
      <form className="stack" onSubmit={submit}>
        <p>What runs is stopped, nothing new starts, its handlers run.</p>
        <TextInput data-autofocus label="Reason" description="For the record; may stay empty" value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <div className="row-end">
          <Button variant="default" onClick={onClose}>
            Keep it running
          </Button>
          <Button color="red" type="submit" loading={stop.isPending}>
            Stop it
          </Button>
        </div>
      </form>
    </Modal>
  );
}
