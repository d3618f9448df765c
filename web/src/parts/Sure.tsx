import { Button } from "@mantine/core";
import { useState } from "react";

interface Props {
  readonly action: string; // a verb
  readonly what: string; // on what, for who cannot see the row
  readonly busy: boolean;
  readonly act: () => void;
}

/** A button for what cannot be undone: it is pressed twice. */
export function Sure({ action, what, busy, act }: Props) {
  const [asked, setAsked] = useState(false);
  return (
    <Button
      size="compact-sm"
      variant={asked ? "filled" : "light"}
      color="red"
      aria-label={asked ? `Really ${action.toLowerCase()} ${what}` : `${action} ${what}`}
      loading={busy}
      onBlur={() => setAsked(false)}
      onClick={() => (asked ? act() : setAsked(true))}
    >
      {asked ? "Really?" : action}
    </Button>
  );
}
