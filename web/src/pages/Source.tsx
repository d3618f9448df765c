import { useQuery } from "@tanstack/react-query";
import { type Fault, api, got } from "../api/client";
import { CopyButton } from "../parts/CopyButton";
import { Loaded } from "../parts/Told";
import "./source.css";
import { coloured } from "./yaml";

interface Props {
  readonly name: string;
  readonly faults: readonly Fault[];
}

/** The file of a DAG as it is, with what is wrong at its lines, and how it was read. */
export function Source({ name, faults }: Props) {
  const path = { params: { path: { name } } };
  const source = useQuery({ queryKey: ["dag", name, "source"], queryFn: () => got(api.GET("/api/v1/dags/{name}/source", path)) });
  const checked = useQuery({ queryKey: ["dag", name, "validate"], queryFn: () => got(api.GET("/api/v1/dags/{name}/validate", path)) });
  const notes = checked.data?.notes ?? [];
  return (
    <>
      <Loaded query={source}>
        {({ text, file }) => (
          <>
            <div className="source-head">
              <span className="mono quiet one-line">{file}</span>
              <CopyButton what={() => text} />
            </div>
            <Lines text={text} file={file} faults={faults} />
          </>
        )}
      </Loaded>
      {notes.length > 0 && (
        <>
          <h2>How it was read</h2>
          <ul>
            {notes.map((note, index) => (
              <li key={index}>
                {note.line > 0 && <span className="mono">{`line ${note.line}: `}</span>}
                {note.message}
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

function Lines({ text, file, faults }: { readonly text: string; readonly file: string; readonly faults: readonly Fault[] }) {
  const at = new Map<number, string>();
  for (const { line, message } of faults) at.set(line, [at.get(line), message].filter(Boolean).join("; "));
  return (
    <pre className="source" tabIndex={0} aria-label={file}>
      {text.replace(/\n$/, "").split("\n").map((line, index) => (
        <span key={index} className="source-line" data-bad={at.has(index + 1) || undefined}>
          {coloured(line).map((piece, place) => (
            <span key={place} className={piece.kind && `yaml-${piece.kind}`}>
              {piece.text}
            </span>
          ))}
          {at.has(index + 1) && <span className="source-fault">{`✕ ${at.get(index + 1)}`}</span>}
        </span>
      ))}
    </pre>
  );
}
