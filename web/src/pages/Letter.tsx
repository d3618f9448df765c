import { Link } from "wouter";
import type { LetterItem } from "../api/client";
import { Facts } from "../parts/Facts";
import { Note } from "../parts/Note";
import { worded } from "../parts/states";
import { dated } from "../parts/times";
import { StepLogs } from "./StepLogs";

/** Why a step failed for good: the error, and what its last attempt printed. */
export function Letter({ letter: one }: { readonly letter: LetterItem }) {
  return (
    <div className="below">
      <Note tone="bad">{one.error || worded(one.error_kind)}</Note>
      <Facts
        facts={[
          ["Run", <Link className="mono" href={`/runs/${encodeURIComponent(one.run_id)}?step=${encodeURIComponent(one.step)}`}>{one.run_id}</Link>],
          ["Workspace", one.workspace],
          ["Kind", worded(one.error_kind)],
          ["Attempts", one.attempt],
          ["Failed", dated(one.died_at)],
          ["Replayed", one.replayed_at && `${dated(one.replayed_at)} by ${one.replayed_by || "somebody"}`],
        ]}
      />
      <StepLogs run={one.run_id} step={one.step} version={`letter ${one.id}`} first={one.attempt} />
    </div>
  );
}
