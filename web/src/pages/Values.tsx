import type { Run } from "../api/client";
import { CopyButton } from "../parts/CopyButton";

/** What a run was given, and what came out of it. */
export function Values({ run }: { readonly run: Run }) {
  const params = run.params.map(([name, value], index) => [String(name ?? index + 1), value] as const);
  return (
    <>
      <h2>Parameters</h2>
      <Pairs none="It was given no parameters." pairs={params} />
      <h2>Outputs</h2>
      <Pairs none="It has no outputs." pairs={Object.entries(run.outputs)} />
    </>
  );
}

function Pairs({ pairs, none }: { readonly pairs: readonly (readonly [string, unknown])[]; readonly none: string }) {
  if (!pairs.length) return <p className="quiet">{none}</p>;
  const text = () => pairs.map(([name, value]) => `${name}=${shown(value)}`).join("\n");
  return (
    <>
      <dl className="pairs">
        {pairs.map(([name, value]) => (
          <div key={name}>
            <dt className="mono">{name}</dt>
            <dd className="mono">{shown(value)}</dd>
          </div>
        ))}
      </dl>
      <div className="tools-end">
        <CopyButton what={text} />
      </div>
    </>
  );
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}
