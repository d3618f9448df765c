import { Button, Group, NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Attempt, type Run, type StepItem, api, got, gotLog, logPath } from "../api/client";
import { useAct } from "../api/act";
import { logTopic, useLogText } from "../api/logs";
import { useMay } from "../api/session";
import LogViewer from "../logs/LogViewer";
import { Empty, Failed, Loaded } from "../parts/Told";
import { worded } from "../parts/states";

const GOING = new Set(["running", "dispatched"]);

/** What is known of one step: why it failed, its attempts, what it printed, and running it again. */
export default function StepDetail({ run, step }: { readonly run: Run; readonly step: StepItem }) {
  const [chosen, setChosen] = useState<number>();
  const attempts = useQuery({
    queryKey: ["run", run.run_id, "attempts", step.id, step.attempts, step.state],
    queryFn: () => got(api.GET("/api/v1/runs/{run}/attempts", { params: { path: { run: run.run_id }, query: { step: step.id } } })),
    placeholderData: (before) => before,
  });
  return (
    <div className="below">
      {step.error && <p className="panel">{step.error}</p>}
      {step.reason && step.reason !== step.error && <p className="quiet">{step.reason}</p>}
      <Again run={run} step={step} />
      {step.attempts === 0 ? (
        <Empty title="It has not started." />
      ) : (
        <Loaded query={attempts}>
          {({ attempts: all }) => <Tries run={run} step={step} all={all} chosen={chosen} onChoose={setChosen} />}
        </Loaded>
      )}
    </div>
  );
}

interface TriesProps {
  readonly run: Run;
  readonly step: StepItem;
  readonly all: readonly Attempt[];
  readonly chosen: number | undefined;
  readonly onChoose: (attempt: number) => void;
}

function Tries({ run, step, all, chosen, onChoose }: TriesProps) {
  const newest = all[all.length - 1];
  const shown = all.find((one) => one.attempt === chosen) ?? newest;
  if (!shown) return <Empty title="Nothing is known of its attempts." />;
  const live = shown === newest && GOING.has(step.state);
  return (
    <>
      {all.length > 1 && (
        <NativeSelect
          label="Attempt"
          value={String(shown.attempt)}
          onChange={(event) => onChoose(Number(event.currentTarget.value))}
          data={all.map((one) => ({ value: String(one.attempt), label: `${one.attempt}: ${worded(one.state)}${one.exit_code ? `, exit code ${one.exit_code}` : ""}` }))}
        />
      )}
      {shown.streams.map((stream) => {
        const key = `${shown.attempt}:${shown.epoch}:${stream}`;
        return live ? (
          <LiveLog key={key} run={run.run_id} step={step.id} stream={stream} />
        ) : (
          <KeptLog key={key} run={run.run_id} step={step.id} stream={stream} attempt={shown.attempt} state={shown.state} />
        );
      })}
    </>
  );
}

interface LogProps {
  readonly run: string;
  readonly step: string;
  readonly stream: "stdout" | "stderr";
}

function LiveLog({ run, step, stream }: LogProps) {
  const text = useLogText(logTopic(run, step, stream));
  return <LogViewer label={`${stream} of ${step}`} text={text} live file={`${step}.${stream}.log`} note={stream} />;
}

function KeptLog({ run, step, stream, attempt, state }: LogProps & { readonly attempt: number; readonly state: string }) {
  const log = useQuery({
    queryKey: ["run", run, "log", step, stream, attempt, state],
    queryFn: () => gotLog({ run, step, stream, attempt }),
  });
  if (log.isError) return <Failed error={log.error} again={() => void log.refetch()} />;
  if (log.data === undefined) return <p className="loading">Loading</p>;
  const { text, left_b } = log.data;
  return (
    <>
      {left_b > 0 && (
        <p className="quiet">
          {`The first ${(left_b / 1e6).toFixed(1)} MB are not shown. `}
          <a href={`${logPath({ run, step, stream, attempt })}&download=true`} download>
            Download all of it
          </a>
        </p>
      )}
      <LogViewer label={`${stream} of ${step}`} text={text} file={`${step}.${attempt}.${stream}.log`} note={stream} />
    </>
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
    <Group gap="xs">
      <Button size="compact-sm" variant="default" disabled={again.isPending} onClick={() => again.mutate(true)}>
        Retry from here
      </Button>
      <Button size="compact-sm" variant="default" disabled={again.isPending} onClick={() => again.mutate(false)}>
        Retry only this step
      </Button>
    </Group>
  );
}
