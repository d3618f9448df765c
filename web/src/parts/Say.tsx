import { Notification } from "@mantine/core";
import { type ReactNode, createContext, useCallback, useContext, useEffect, useState } from "react";
import { Refusal } from "../api/problem";

interface Said {
  readonly text: string;
  readonly hint: string;
  readonly bad: boolean;
}

interface Voice {
  readonly say: (text: string) => void;
  readonly complain: (error: unknown) => void;
}

const Speaking = createContext<Voice>({ say: () => undefined, complain: () => undefined });
const SHOWN_MS = 6000;

/** Short messages in the corner: what was done, what was refused. Complaints stay until they are closed. */
export function Say({ children }: { readonly children: ReactNode }) {
  const [said, setSaid] = useState<Said | null>(null);
  const say = useCallback((text: string) => setSaid({ text, hint: "", bad: false }), []);
  const complain = useCallback((error: unknown) => setSaid(complaint(error)), []);
  useEffect(() => {
    if (!said || said.bad) return undefined;
    const timer = setTimeout(() => setSaid(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [said]);
  return (
    <Speaking.Provider value={{ say, complain }}>
      {children}
      <div className="notice" aria-live={said?.bad ? "assertive" : "polite"}>
        {said && (
          <Notification color={said.bad ? "red" : "green"} title={said.text} onClose={() => setSaid(null)} closeButtonProps={{ "aria-label": "Close" }}>
            {said.hint}
          </Notification>
        )}
      </div>
    </Speaking.Provider>
  );
}

export function useSay(): Voice {
  return useContext(Speaking);
}

function complaint(error: unknown): Said {
  if (error instanceof Refusal) return { text: error.message, hint: error.hint, bad: true };
  return { text: "The server cannot be reached.", hint: "", bad: true };
}
