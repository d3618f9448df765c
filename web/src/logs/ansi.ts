/** Colours of terminals as CSS classes. Output is text here and stays text: no markup is ever made from it. */

export interface Span {
  readonly text: string;
  readonly classes: string;
}

export interface Style {
  readonly fg: number | null; // 0-15
  readonly bg: number | null;
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
}

export const PLAIN: Style = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false };

// CSI sequences, OSC sequences up to their end, other two-character escapes; then what else does not print but tabs.
const ESCAPE = /\u001b(?:\[([0-9;:<=>?]*)[ -/]*([@-~])|\][^\u0007\u001b]*(?:\u0007|\u001b\\)?|[()][0AB]|[@-Z\\^_a-z0-9=>])?/g;
const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Returns the spans of one line and the style that the next line begins with. */
export function spansOf(line: string, before: Style = PLAIN): { spans: Span[]; after: Style } {
  const spans: Span[] = [];
  let style = before;
  let from = 0;
  for (const found of line.matchAll(ESCAPE)) {
    add(spans, line.slice(from, found.index), style);
    from = found.index + found[0].length;
    if (found[2] === "m") style = styled(style, found[1] ?? "");
  }
  add(spans, line.slice(from), style);
  return { spans, after: style };
}

/** Returns the text as it reads: without colours and control codes. */
export function plain(text: string): string {
  return text.includes("\u001b") ? text.replace(ESCAPE, "") : text;
}

function add(spans: Span[], text: string, style: Style): void {
  const shown = text.replace(CONTROLS, "");
  if (shown) spans.push({ text: shown, classes: classesOf(style) });
}

function classesOf(style: Style): string {
  const flags = (["bold", "dim", "italic", "underline"] as const).filter((flag) => style[flag]).map((flag) => `ansi-${flag}`);
  if (style.fg !== null) flags.push(`ansi-fg-${style.fg}`);
  if (style.bg !== null) flags.push(`ansi-bg-${style.bg}`);
  return flags.join(" ");
}

function styled(before: Style, parameters: string): Style {
  const codes = parameters.split(/[;:]/).map((code) => Number(code || "0"));
  let style = before;
  for (let at = 0; at < codes.length; at += 1) {
    const code = codes[at] ?? 0;
    if (code === 38 || code === 48) {
      const wide = extended(codes.slice(at + 1));
      style = code === 38 ? { ...style, fg: wide.colour } : { ...style, bg: wide.colour };
      at += wide.taken;
    } else {
      style = one(style, code);
    }
  }
  return style;
}

function one(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 3) return { ...style, italic: true };
  if (code === 4) return { ...style, underline: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 23) return { ...style, italic: false };
  if (code === 24) return { ...style, underline: false };
  if (code === 39) return { ...style, fg: null };
  if (code === 49) return { ...style, bg: null };
  if (code >= 30 && code <= 37) return { ...style, fg: code - 30 };
  if (code >= 40 && code <= 47) return { ...style, bg: code - 40 };
  if (code >= 90 && code <= 97) return { ...style, fg: code - 82 };
  if (code >= 100 && code <= 107) return { ...style, bg: code - 92 };
  return style;
}

/** The 256 colours and true colours, brought to the nearest of the sixteen: a page has its own palette. */
function extended(rest: readonly number[]): { colour: number | null; taken: number } {
  if (rest[0] === 5) return { colour: of256(rest[1] ?? 0), taken: 2 };
  if (rest[0] === 2) return { colour: nearest(rest[1] ?? 0, rest[2] ?? 0, rest[3] ?? 0), taken: 4 };
  return { colour: null, taken: rest.length };
}

function of256(index: number): number {
  if (index < 16) return index;
  if (index >= 232) return nearest((index - 232) * 10 + 8, (index - 232) * 10 + 8, (index - 232) * 10 + 8);
  const cube = index - 16;
  const level = (value: number) => (value === 0 ? 0 : value * 40 + 55);
  return nearest(level(Math.floor(cube / 36)), level(Math.floor(cube / 6) % 6), level(cube % 6));
}

function nearest(red: number, green: number, blue: number): number {
  const peak = Math.max(red, green, blue);
  const bits = (red > peak / 2 ? 1 : 0) | (green > peak / 2 ? 2 : 0) | (blue > peak / 2 ? 4 : 0);
  if (peak < 48) return 0;
  if (bits === 7 && peak < 160) return 8;
  return peak > 208 ? bits + 8 : bits;
}
