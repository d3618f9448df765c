import { useEffect, useRef, useState } from "react";
import { useLocation } from "wouter";

/** Where `g` and a letter lead. */
export const PLACES: Readonly<Record<string, { readonly to: string; readonly name: string }>> = {
  d: { to: "/", name: "DAGs" },
  r: { to: "/runs", name: "Runs" },
  s: { to: "/schedules", name: "Schedules" },
  w: { to: "/workspaces", name: "Workspaces" },
  l: { to: "/dead-letters", name: "Dead letters" },
};

export type Shortcut = { readonly go: string } | "search" | "help" | "wait" | null;

/** Returns what a key means after the one before it. Pure. */
export function meaning(key: string, before: string): Shortcut {
  const place = before === "g" ? PLACES[key] : undefined;
  if (place) return { go: place.to };
  if (key === "g") return "wait";
  if (key === "/") return "search";
  return key === "?" ? "help" : null;
}

const PAIR_MS = 1200; // between the two keys of a pair

/** Keys for the whole page; not while somebody writes, nor under a dialog. */
export function useShortcuts() {
  const [shown, setShown] = useState(false);
  const [, go] = useLocation();
  const last = useRef({ key: "", at: 0 });
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      if (event.ctrlKey || event.metaKey || event.altKey || writes(event.target) || document.querySelector("[role=dialog]")) return;
      const found = meaning(event.key, event.timeStamp - last.current.at < PAIR_MS ? last.current.key : "");
      last.current = { key: event.key, at: event.timeStamp };
      if (found === null || found === "wait") return;
      if (found === "help") setShown(true);
      else if (found === "search") search(event);
      else go(found.go);
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [go]);
  return { shown, show: () => setShown(true), hide: () => setShown(false) };
}

function writes(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

function search(event: KeyboardEvent): void {
  const field = document.querySelector<HTMLInputElement>("main [role=search] input, main input[data-search]");
  if (!field) return;
  event.preventDefault();
  field.focus();
  field.select();
}
