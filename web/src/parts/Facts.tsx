import type { ReactNode } from "react";

export type FactPair = readonly [name: string, value: ReactNode];

/** Short facts beside one another; those with nothing to say are left out. */
export function Facts({ facts }: { readonly facts: readonly FactPair[] }) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "" && value !== false);
  return (
    <dl className="facts">
      {known.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
