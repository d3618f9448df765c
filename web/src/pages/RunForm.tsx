import { Button, Modal, NativeSelect, TextInput } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type FormEvent, useEffect, useRef, useState } from "react";
import { type DagDetail, type Param, api, got } from "../api/client";
import { useAct } from "../api/act";
import { Loaded } from "../parts/Told";
import { type Given, fault, given, hint, startValues } from "./params";

interface Props {
  readonly name: string;
  readonly before?: Given; // of an earlier run: what its parameters were
  readonly onClose: () => void;
  readonly onStarted: (run: string) => void;
}

/** Asks for the parameters of a DAG and starts it. */
export function RunForm({ name, before, onClose, onStarted }: Props) {
  const dag = useQuery({ queryKey: ["dag", name], queryFn: () => got(api.GET("/api/v1/dags/{name}", { params: { path: { name } } })) });
  return (
    <Modal opened onClose={onClose} title={`Run ${name}`}>
      <Loaded query={dag}>{(detail) => <Form dag={detail} before={before} onClose={onClose} onStarted={onStarted} />}</Loaded>
    </Modal>
  );
}

function Form({ dag, before, onClose, onStarted }: { readonly dag: DagDetail; readonly before: Given | undefined } & Omit<Props, "name" | "before">) {
  const [values, setValues] = useState(() => startValues(dag.params, before));
  const [tried, setTried] = useState(false);
  const form = useRef<HTMLFormElement>(null);
  // The dialog took the focus before it knew what to ask for.
  useEffect(() => form.current?.querySelector<HTMLElement>("input, select, [type=submit]")?.focus(), []);
  const faults = dag.params.map((param, index) => fault(param, values[index] ?? ""));
  const start = useAct(
    () => got(api.POST("/api/v1/dags/{name}/runs", { params: { path: { name: dag.name } }, body: { params: given(dag.params, values), labels: {} } })),
    { touches: [["dags"], ["dag", dag.name], ["runs"]], then: (started) => onStarted(started.run_id) },
  );
  const submit = (event: FormEvent) => {
    event.preventDefault();
    setTried(true);
    if (faults.every((one) => !one)) start.mutate(undefined);
    else form.current?.querySelectorAll<HTMLElement>("input, select")[faults.findIndex(Boolean)]?.focus();
  };
  return (
    <form ref={form} onSubmit={submit} noValidate>
      <div className="stack">
        {dag.params.length === 0 && <p className="quiet">It takes no parameters.</p>}
        {dag.params.map((param, index) => (
          <Field
            key={param.name ?? index}
            param={param}
            position={index + 1}
            value={values[index] ?? ""}
            error={tried ? (faults[index] ?? "") : ""}
            onChange={(value) => setValues(values.map((old, at) => (at === index ? value : old)))}
          />
        ))}
        <div className="row-end">
          <Button variant="default" onClick={onClose}>
            Cancel
          </Button>
          <Button type="submit" loading={start.isPending}>
            Run now
          </Button>
        </div>
      </div>
    </form>
  );
}

interface FieldProps {
  readonly param: Param;
  readonly position: number;
  readonly value: string;
  readonly error: string;
  readonly onChange: (value: string) => void;
}

function Field({ param, position, value, error, onChange }: FieldProps) {
  const choices = param.enum.length ? param.enum : param.type === "boolean" ? ["true", "false"] : [];
  const told = { label: param.name ?? `Parameter ${position}`, description: [param.description, hint(param)].filter(Boolean).join(" · "), error, required: param.required, value };
  if (choices.length) {
    const data = choices.includes(value) ? choices : [value, ...choices];
    return <NativeSelect {...told} data={data} onChange={(event) => onChange(event.currentTarget.value)} />;
  }
  const keyboard = param.type === "integer" ? "numeric" : param.type === "number" ? "decimal" : "text";
  return <TextInput {...told} inputMode={keyboard} spellCheck={false} onChange={(event) => onChange(event.currentTarget.value)} />;
}
