import type { Param } from "../api/client";

/** Returns what is wrong with a parameter's value, or nothing. The server has the last word; this spares a round trip. */
export function fault(param: Param, value: string): string {
  if (!value) return param.required ? "This is required." : "";
  if (param.enum.length && !param.enum.includes(value)) return `One of ${param.enum.join(", ")}.`;
  if (param.type === "integer" && !/^[+-]?\d+$/.test(value)) return "A whole number.";
  if (param.type === "number" && !Number.isFinite(Number(value))) return "A number.";
  if (param.type === "boolean" && !["true", "false"].includes(value)) return "true or false.";
  if (param.pattern && !matches(param.pattern, value)) return `It has to look like ${param.pattern}.`;
  return bounds(param, value);
}

/** Patterns are those of Python; what this browser cannot read is left to the server. */
function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true;
  }
}

const KINDS: Readonly<Record<string, string>> = { integer: "a whole number", number: "a number" };

/** Returns what may be given, for people; nothing for any text. */
export function hint(param: Param): string {
  const kind = KINDS[param.type];
  if (kind === undefined || param.enum.length) return "";
  const { minimum: least, maximum: most } = param;
  if (least !== null && least !== undefined && most !== null && most !== undefined) return `${kind}, ${least} to ${most}`;
  if (least !== null && least !== undefined) return `${kind}, at least ${least}`;
  return most !== null && most !== undefined ? `${kind}, at most ${most}` : kind;
}

/** Parameters of an earlier run: pairs of name, null for positional ones, and value. */
export type Given = readonly (readonly unknown[])[];

/** Returns what a form begins with: what an earlier run was given, else the defaults. */
export function startValues(params: readonly Param[], before: Given = []): string[] {
  return params.map((param, index) => {
    const pair = param.name === null ? before[index] : before.find(([name]) => name === param.name);
    const value = pair?.[1];
    return typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : (param.default ?? "");
  });
}

function bounds(param: Param, value: string): string {
  const numeric = param.type === "integer" || param.type === "number";
  const size = numeric ? Number(value) : value.length;
  const least = numeric ? param.minimum : param.min_length;
  const most = numeric ? param.maximum : param.max_length;
  const what = numeric ? "" : " characters";
  if (least !== null && least !== undefined && size < least) return `At least ${least}${what}.`;
  if (most !== null && most !== undefined && size > most) return `At most ${most}${what}.`;
  return "";
}

/** Returns what is sent: only what differs from the defaults, which the server evaluates itself; positional ones all, in order. */
export function given(params: readonly Param[], values: readonly string[]): Record<string, string> | string[] {
  if (params.length && params.every((param) => param.name === null)) return [...values];
  const changed = params.flatMap((param, index) => {
    const value = values[index] ?? "";
    return param.name === null || value === (param.default ?? "") ? [] : [[param.name, value] as const];
  });
  return Object.fromEntries(changed);
}
