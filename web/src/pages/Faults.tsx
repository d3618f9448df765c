import type { Fault } from "../api/client";
import { Note } from "../parts/Note";

/** What is wrong in files, and where. */
export function Faults({ faults }: { readonly faults: readonly Fault[] }) {
  if (!faults.length) return null;
  return (
    <Note tone="bad" title={faults.length === 1 ? "One fault" : `${faults.length} faults`}>
      <ul>
        {faults.map((one, index) => (
          <li key={index}>
            {one.line > 0 && <span className="mono">{`${one.file}:${one.line}:${one.column} `}</span>}
            {one.message}
            {one.hint && <span className="quiet">{` – ${one.hint}`}</span>}
          </li>
        ))}
      </ul>
    </Note>
  );
}
