import { Switch } from "@mantine/core";
import type { DagItem } from "../api/client";
import { api, got } from "../api/client";
import { useAct } from "../api/act";
import { useMay } from "../api/session";

type Scheduled = Pick<DagItem, "name" | "schedule" | "suspended">;

/** Whether a DAG has a schedule that could be suspended. */
export function hasTimes({ schedule }: Scheduled): boolean {
  return [schedule.start, schedule.stop, schedule.restart, schedule.at].some((times) => times.length > 0);
}

/** The switch of a schedule: off means suspended. */
export function Suspend({ dag, label, valid = true }: { readonly dag: Scheduled; readonly label?: string; readonly valid?: boolean }) {
  const may = useMay("operator");
  const change = useAct(
    (active: boolean) => {
      const call = { params: { path: { name: dag.name } } };
      return got(active ? api.POST("/api/v1/dags/{name}/resume", call) : api.POST("/api/v1/dags/{name}/suspend", call));
    },
    { touches: [["dags"], ["dag", dag.name], ["schedules"]], said: (active) => `The schedule of ${dag.name} is ${active ? "active" : "suspended"}.` },
  );
  return (
    <Switch
      size="sm"
      aria-label={`Schedule of ${dag.name}`}
      label={label}
      checked={change.isPending ? change.variables : !dag.suspended}
      disabled={!may || !valid}
      onChange={(event) => change.mutate(event.currentTarget.checked)}
    />
  );
}
