import { NativeSelect } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type Attempt, api, got, gotLog, logPath } from "../api/client";
import { logTopic, useLogText } from "../api/logs";
import LogViewer from "../logs/LogViewer";
import { Empty, Failed, Loaded, Loading } from "../parts/Told";
import { worded } from "../parts/states";

interface Props {
  readonly run: string;
  readonly step: string;
  readonly version: string; // another one: there may be other attempts
  readonly going?: boolean; // the newest attempt still prints
  readonly first?: number; // the attempt that is shown at the beginning; the newest if nothing is said
}

/** What the attempts of a step printed, one attempt at a time. */
export function StepLogs({ run, step, version, going = false, first }: Props) {
  const [chosen, setChosen] = useState(first);
  const attempts = useQuery({
    queryKey: ["run", run, "attempts", step, version],
    queryFn: () => got(api.GET("/api/v1/runs/{run}/attempts", { params: { path: { run }, query: { step } } })),
    placeholderData: (before) => before,
  });
  return <Loaded query={attempts}>{({ attempts: all }) => <Tries run={run} step={step} all={all} going={going} chosen={chosen} onChoose={setChosen} />}</Loaded>;
}

interface TriesProps {
  readonly run: string;
  readonly step: string;
  readonly all: readonly Attempt[];
  readonly going: boolean;
  readonly chosen: number | undefined;
  readonly onChoose: (attempt: number) => void;
}

function Tries({ run, step, all, going, chosen, onChoose }: TriesProps) {
  const newest = all[all.length - 1];
  const shown = all.find((one) => one.attempt === chosen) ?? newest;
  if (!shown) return <Empty title="Nothing is known of its attempts." />;
  const live = shown === newest && going;
  return (
    <>
      {all.length > 1 && (
        <NativeSelect
          size="xs"
          className="attempt"
          label="Attempt"
          value={String(shown.attempt)}
          onChange={(event) => onChoose(Number(event.currentTarget.value))}
          data={all.map((one) => ({ value: String(one.attempt), label: told(one) }))}
        />
      )}
      {shown.streams.map((stream) => {
        const key = `${shown.attempt}:${shown.epoch}:${stream}`;
        return live ? (
          <LiveLog key={key} run={run} step={step} stream={stream} />
        ) : (
          <KeptLog key={key} run={run} step={step} stream={stream} attempt={shown.attempt} state={shown.state} />
        );
      })}
    </>
  );
}

function told(one: Attempt): string {
  const code = one.exit_code ? `, exit code ${one.exit_code}` : "";
  return `${one.attempt}: ${worded(one.state)}${code}${one.worker ? `, on ${one.worker}` : ""}`;
}

interface LogProps {
  readonly run: string;
  readonly step: string;
  readonly stream: "stdout" | "stderr";
}

function LiveLog({ run, step, stream }: LogProps) {
  const text = useLogText(logTopic(run, step, stream));
  return <LogViewer label={`${stream} of ${step}`} text={text} live file={`${step}.${stream}.log`} title={stream} />;
}

function KeptLog({ run, step, stream, attempt, state }: LogProps & { readonly attempt: number; readonly state: string }) {
  const log = useQuery({
    queryKey: ["run", run, "log", step, stream, attempt, state],
    queryFn: () => gotLog({ run, step, stream, attempt }),
  });
  if (log.isError) return <Failed error={log.error} again={() => void log.refetch()} />;
  if (log.data === undefined) return <Loading />;
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
      <LogViewer label={`${stream} of ${step}`} text={text} file={`${step}.${attempt}.${stream}.log`} title={stream} />
    </>
  );
}
