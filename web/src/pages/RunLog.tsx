import { useQuery } from "@tanstack/react-query";
import { type Run, gotText, runLogPath } from "../api/client";
import LogViewer from "../logs/LogViewer";
import { Failed } from "../parts/Told";

/** The whole run as one text, with a button that copies it. */
export default function RunLog({ run }: { readonly run: Run }) {
  const log = useQuery({
    queryKey: ["run", run.run_id, "text", run.ended ? run.last_seq : "going"],
    queryFn: () => gotText(runLogPath(run.run_id)),
    refetchInterval: run.ended ? false : 2000,
  });
  if (log.isError) return <Failed error={log.error} again={() => void log.refetch()} />;
  if (log.data === undefined) return <p className="loading">Loading</p>;
  return <LogViewer label={`Logs of ${run.workflow}`} text={log.data} live={!run.ended} file={`${run.workflow}-${run.run_id}.log`} />;
}
