import type { Param } from "../api/client";

/** Returns what is wrong with a parameter's value, or nothing. The server has the last word; this spares a round trip. */
export function fault(param: Param, value: string): string {
  if (!value) return param.required ? "This is required." : "";
  if (param.enum.length && !param.enum.includes(value)) return `One of ${param.enum.join(", ")}.`;
  if (param.type === "integer" && !/^[+-]?\d+$/.test(value)) return "A whole number.";
  if (param.type === "number" && !Number.isFinite(Number(value))) return "A number.";
  if (param.type === "boolean" && !["true", "false"].includes(value)) return "true or false.";
  return bounds(param, value);
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
