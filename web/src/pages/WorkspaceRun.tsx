import { Link } from "wouter";
import type { Run } from "../api/client";
import { Progress } from "../parts/Progress";
import { State } from "../parts/State";
import { useNow } from "../parts/now";
import { ago, since } from "../parts/times";

/** The newest run of a workspace, in one line: how far it is, or how it ended. */
export function WorkspaceRun({ run }: { readonly run: Run }) {
  const now = useNow(true);
  const done = run.steps.filter((step) => step.ended_at).length;
  const when = run.ended ? `ended ${ago(run.ended_at, now)}` : `${done} of ${run.steps.length} steps, ${since(run.started_at ?? run.created_at, null, now)}`;
  return (
    <section className="latest" aria-label="Newest run">
      <div className="chips">
        <Link href={`/runs/${encodeURIComponent(run.run_id)}`}>{run.ended ? "Newest run" : "Provisioning now"}</Link>
        <State state={run.status} />
        <span className="quiet numbers">{when}</span>
        {run.reason && <span className="quiet">{run.reason}</span>}
      </div>
      {!run.ended && <Progress states={run.steps.map((step) => step.state)} />}
    </section>
  );
}
