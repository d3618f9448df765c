import { type QueryKey, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef } from "react";
import { connection } from "./connection";
import { type StreamEvent, follow } from "./stream";

export interface Message {
  readonly topic: string;
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** Where each topic of a connection is. The id of a message holds all positions, in the order of the topics. */
export class Positions {
  private readonly known = new Map<string, string>();

  note(topics: readonly string[], id: string): void {
    id.split(",").forEach((position, index) => {
      const topic = topics[index];
      if (topic !== undefined && position) this.known.set(topic, position);
    });
  }

  /** Topics that nobody follows any more begin anew when they are followed again. */
  keep(topics: readonly string[]): void {
    for (const topic of [...this.known.keys()]) if (!topics.includes(topic)) this.known.delete(topic);
  }

  cursor(topics: readonly string[]): string {
    return topics.some((topic) => this.known.has(topic)) ? topics.map((topic) => this.known.get(topic) ?? "0").join(",") : "";
  }
}

const BACK: Message = { topic: "", event: "back", data: {} };

/** Follows topics on one connection; when they change, a new one goes on where each topic is. */
export function useLive(topics: readonly string[], onMessage: (message: Message) => void): void {
  const positions = useRef(new Positions());
  const handler = useRef(onMessage);
  handler.current = onMessage;
  const key = topics.join(",");

  useEffect(() => {
    if (!key) return undefined;
    const wanted = key.split(",");
    positions.current.keep(wanted);
    const stream = {};
    let lost = false;
    const stop = follow(`/api/v1/events/stream?${new URLSearchParams({ topics: key })}`, {
      lastId: positions.current.cursor(wanted),
      onState: (connected) => {
        connection.note(stream, connected);
        // A server that was started anew may count as the old one did, and would not say what has changed meanwhile.
        if (connected && lost) handler.current(BACK);
        lost = !connected;
      },
      onEvent: (event) => {
        positions.current.note(wanted, event.id);
        const message = read(event);
        if (message) handler.current(message);
      },
    });
    return () => {
      stop();
      connection.note(stream, true);
    };
  }, [key]);
}

function read(event: StreamEvent): Message | null {
  try {
    const data: unknown = JSON.parse(event.data);
    if (typeof data !== "object" || data === null) return null;
    const told = data as Record<string, unknown>;
    return { event: event.event, topic: typeof told["topic"] === "string" ? told["topic"] : "", data: told };
  } catch {
    return null;
  }
}

/** Returns a function that has `act` called once after a burst of calls, at most every `gap_ms`. */
export function useCalmly(act: () => void, gap_ms: number): () => void {
  const wanted = useRef(act);
  wanted.current = act;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const last = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return () => {
    if (timer.current !== undefined) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      last.current = Date.now();
      wanted.current();
    }, Math.max(0, last.current + gap_ms - Date.now()));
  };
}

/** Returns a function that has what is under these keys asked anew, calmly. An answer on its way may be older than what we heard. */
export function useRefresh(keys: readonly QueryKey[], gap_ms: number, exact = false): () => void {
  const client = useQueryClient();
  const again = useCalmly(() => {
    for (const queryKey of keys) {
      if (client.isFetching({ queryKey, exact })) again();
      else void client.invalidateQueries({ queryKey, exact });
    }
  }, gap_ms);
  return again;
}
