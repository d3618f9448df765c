import { Button, Group, Modal, TextInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { type Run, api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";
import { Icon } from "../parts/Icon";

/** What may be done with a run now: stopped, held, or run again where it failed. */
export function RunActions({ run }: { readonly run: Run }) {
  const may = useMay("operator");
  const [stopping, setStopping] = useState(false);
  const path = { params: { path: { run: run.run_id } } };
  const touches = [["run", run.run_id], ["runs"]];
  const hold = useAct(() => got(run.paused ? api.POST("/api/v1/runs/{run}/resume", path) : api.POST("/api/v1/runs/{run}/pause", path)), { touches });
  const again = useAct(() => got(api.POST("/api/v1/runs/{run}/retry", { ...path, body: { downstream: true } })), {
    touches,
    said: "The run goes on where it failed.",
  });
  if (!may) return null;
  if (run.ended || run.lost) {
    if (run.status === "succeeded") return null;
    return (
      <Button leftSection={<Icon name="again" />} loading={again.isPending} onClick={() => again.mutate(undefined)}>
        Retry
      </Button>
    );
  }
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
      <form onSubmit={submit}>
        <p>What runs is stopped, nothing new starts, its handlers run.</p>
        <TextInput data-autofocus label="Reason" description="For the record; may stay empty" value={reason} onChange={(event) => setReason(event.currentTarget.value)} />
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={onClose}>
            Keep it running
          </Button>
          <Button color="red" type="submit" loading={stop.isPending}>
            Stop it
          </Button>
        </Group>
      </form>
    </Modal>
  );
}
