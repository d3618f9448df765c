import { type ReactNode, createContext, useCallback, useContext, useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import { type Message, useLive } from "./live";

/** Texts that grow while somebody looks at them: logs of running steps, all on the page's one connection. */
export class LogTexts {
  private readonly texts = new Map<string, string>();
  private readonly heard = new Set<() => void>();

  readonly text = (topic: string): string => this.texts.get(topic) ?? "";

  readonly listen = (listener: () => void): (() => void) => {
    this.heard.add(listener);
    return () => this.heard.delete(listener);
  };

  /** `at` is the byte where the text begins: at 0 another attempt has begun, whose log this is now. */
  add(topic: string, text: string, at: number): void {
    this.texts.set(topic, at === 0 ? text : this.text(topic) + text);
    for (const listener of this.heard) listener();
  }

  forget(topic: string): void {
    this.texts.delete(topic);
  }
}

interface Wire {
  readonly texts: LogTexts;
  readonly want: (topic: string) => () => void;
}

const Wires = createContext<Wire | null>(null);

interface Props {
  readonly topics: readonly string[]; // besides logs
  readonly onMessage: (message: Message) => void;
  readonly children: ReactNode;
}

/** The one connection of a page: its own topics, and the logs that are open on it. */
export function LivePage({ topics, onMessage, children }: Props) {
  const texts = useRef(new LogTexts()).current;
  const [wanted, setWanted] = useState<readonly string[]>([]);
  const want = useCallback(
    (topic: string) => {
      setWanted((before) => [...before, topic]);
      return () => {
        texts.forget(topic);
        setWanted((before) => before.filter((one) => one !== topic));
      };
    },
    [texts],
  );
  useLive([...new Set([...topics, ...wanted])].slice(0, MOST), (message) => {
    const { text, at } = message.data;
    if (message.event === "log" && typeof text === "string") texts.add(message.topic, text, Number(at));
    else onMessage(message);
  });
  const wire = useMemo(() => ({ texts, want }), [texts, want]);
  return <Wires.Provider value={wire}>{children}</Wires.Provider>;
}

const MOST = 20; // topics of a connection, the server's limit

export function logTopic(run: string, step: string, stream: "stdout" | "stderr"): string {
  return `log:${run}/${encodeURIComponent(step)}${stream === "stderr" ? "@stderr" : ""}`;
}

/** The text of a log as it grows. */
export function useLogText(topic: string): string {
  const wire = useContext(Wires);
  if (!wire) throw new Error("a live log needs a live page around it");
  useEffect(() => wire.want(topic), [wire, topic]);
  return useSyncExternalStore(wire.texts.listen, () => wire.texts.text(topic));
}
