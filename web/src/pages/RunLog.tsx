import { useQuery } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { type Run, gotText, runLogPath } from "../api/client";
import { useCalmly } from "../api/live";
import { logTopic, useLogTexts } from "../api/logs";
import LogViewer from "../logs/LogViewer";
import { Loaded } from "../parts/Told";
import { type Going, goingOf, joined, settled, version } from "./runtext";

const LIMIT_B = 8_000_000; // more makes a page slow, and nobody reads it there
const GAP_MS = 1000;

interface Settled {
  readonly text: string;
  readonly whole: boolean;
  readonly going: readonly Going[]; // that ran when it was asked for, and are left out of it
}

/** The whole run as one text, with a button that copies it: what has ended is asked for once, what runs comes by itself. */
export default function RunLog({ run }: { readonly run: Run }) {
  const newest = useRef(run);
  newest.current = run;
  const log = useQuery({
    queryKey: ["run", run.run_id, "text"],
    queryFn: async (): Promise<Settled> => {
      const going = goingOf(newest.current);
      const { text, whole } = await gotText(runLogPath(run.run_id), LIMIT_B);
      return { text: settled(text, going), whole, going };
    },
    refetchOnMount: "always",
  });
  const again = useCalmly(() => void log.refetch(), GAP_MS + (log.data?.text.length ?? 0) / 1000);
  const now = version(run);
  useEffect(() => again(), [now]);
  return <Loaded query={log}>{(found) => <Text run={run} found={found} />}</Loaded>;
}

function Text({ run, found }: { readonly run: Run; readonly found: Settled }) {
  const live = found.going.flatMap((one) => (["stdout", "stderr"] as const).map((stream) => ({ ...one, stream })));
  const texts = useLogTexts(live.map((one) => logTopic(run.run_id, one.step, one.stream)));
  const text = joined(found.text, live.map((one, index) => ({ ...one, text: texts[index] ?? "" })));
  return (
    <>
      {!found.whole && (
        <p className="quiet">
          {`Only the first ${LIMIT_B / 1e6} MB are shown. `}
          <a href={`${runLogPath(run.run_id)}?download=true`} download>
            Download all of it
          </a>
        </p>
      )}
      <LogViewer label={`Logs of ${run.workflow}`} text={text} live={!run.ended} file={`${run.workflow}-${run.run_id}.log`} tall />
    </>
  );
}
