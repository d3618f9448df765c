import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { type Run, runLogPath } from "../api/client";
import { type RunText, gotRunText } from "../api/runtext";
import LogViewer from "../logs/LogViewer";
import { Loaded } from "../parts/Told";

const LOOK_MS = 1000; // an answer that nothing has changed is a few bytes

/** The whole run as one text, with a button that copies it. */
export default function RunLog({ run }: { readonly run: Run }) {
  const client = useQueryClient();
  const key = ["run", run.run_id, "text"];
  const log = useQuery({
    queryKey: key,
    queryFn: () => gotRunText(run.run_id, client.getQueryData<RunText>(key)),
    refetchInterval: run.ended ? false : LOOK_MS,
    refetchOnMount: "always",
    structuralSharing: false,
  });
  useEffect(() => void log.refetch(), [run.ended]);
  return <Loaded query={log}>{(found) => <Text run={run} found={found} />}</Loaded>;
}

function Text({ run, found: { settled, rest, left_b } }: { readonly run: Run; readonly found: RunText }) {
  return (
    <>
      {left_b > 0 && (
        <p className="quiet">
          {`The first ${(left_b / 1e6).toFixed(1)} MB are not shown. `}
          <a href={`${runLogPath(run.run_id)}?download=true`} download>
            Download all of it
          </a>
        </p>
      )}
      <LogViewer label={`Logs of ${run.workflow}`} text={settled + rest} live={!run.ended} file={`${run.workflow}-${run.run_id}.log`} tall />
    </>
  );
}
