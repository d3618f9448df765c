import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { Icon } from "./Icon";

/** Copies a text, made when it is asked for, and says so. */
export function CopyButton({ what, label = "Copy" }: { readonly what: () => string; readonly label?: string }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!said) return undefined;
    const timer = setTimeout(() => setSaid(""), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => setSaid((await copied(what())) ? "Copied" : "Could not copy");
  return (
    <Button size="compact-xs" variant="default" leftSection={<Icon name="copy" />} onClick={() => void copy()}>
      <span aria-live="polite">{said || label}</span>
    </Button>
  );
}

/** Without TLS browsers have no clipboard for pages of other machines; there the old way serves. */
async function copied(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copiedFromField(text);
  }
}

function copiedFromField(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  return done;
}
