/** Times and durations as people read them. */

export function since(start: string | null, end: string | null, now: number): string {
  if (start === null) return "";
  return span(Math.max(0, (end === null ? now : Date.parse(end)) - Date.parse(start)) / 1000);
}

/** Returns seconds as `0.4 s`, `42 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`. */
export function span(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return pair(seconds, 60, "min", 1, "s");
  if (seconds < 86_400) return pair(seconds, 3600, "h", 60, "min");
  return pair(seconds, 86_400, "d", 3600, "h");
}

function pair(seconds: number, size: number, unit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((seconds % size) / small);
  return `${Math.floor(seconds / size)} ${unit}${rest ? ` ${rest} ${smallUnit}` : ""}`;
}

/** Returns a time of this browser's zone, short: today without its date. */
export function clock(at: string | null | undefined, now: number): string {
  if (!at) return "";
  const when = new Date(at);
  const time = when.toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  if (when.toDateString() === new Date(now).toDateString()) return time;
  const year = when.getFullYear() === new Date(now).getFullYear() ? undefined : ("numeric" as const);
  return `${when.toLocaleDateString("en-GB", { day: "numeric", month: "short", year })} ${time}`;
}

/** Returns a time with its day and the name of its zone: this browser's, or another. */
export function dated(at: string, zone?: string): string {
  const options = { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" } as const;
  const told = (timeZone: string | undefined) => new Date(at).toLocaleString("en-GB", timeZone ? { ...options, timeZone } : options).replace(",", "");
  try {
    return `${told(zone)} ${zone ?? zoneHere()}`;
  } catch {
    return `${told(undefined)} ${zoneHere()}`; // a zone that this browser does not know
  }
}

/** Returns the name of this browser's zone, such as `Europe/Madrid`. */
export function zoneHere(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** Returns how far away a time is: `in 5 min`, `3 h ago`. */
export function away(at: string | null | undefined, now: number): string {
  if (!at) return "";
  const seconds = (Date.parse(at) - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 10) return seconds >= 0 ? "in a moment" : "just now";
  const told = size < 60 ? `${Math.floor(size)} s` : size < 3600 ? `${Math.floor(size / 60)} min` : size < 86_400 ? `${Math.floor(size / 3600)} h` : `${Math.floor(size / 86_400)} d`;
  return seconds >= 0 ? `in ${told}` : `${told} ago`;
}

/** Returns how long ago something was. Clocks differ a little: nothing that was is still to come. */
export function ago(at: string | null | undefined, now: number): string {
  return at ? away(at, Math.max(now, Date.parse(at) + 1)) : "";
}
