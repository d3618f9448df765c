import type { ReactNode } from "react";
import type { Tone } from "./states";

interface Props {
  readonly tone: Tone;
  readonly title?: string;
  readonly alert?: boolean; // read aloud at once
  readonly children?: ReactNode;
}

/** Something to know before the rest of a page. */
export function Note({ tone, title, alert = false, children }: Props) {
  return (
    <div className="note" data-tone={tone} role={alert ? "alert" : undefined}>
      {title && <strong>{title}</strong>}
      {children}
    </div>
  );
}
