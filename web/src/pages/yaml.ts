/** The parts of a line of YAML that are easier to read in colour. Pure; a line at a time, so blocks of text count as plain. */

export interface Piece {
  readonly text: string;
  readonly kind: "" | "key" | "text" | "comment";
}

const KEY = /^(\s*(?:- +)*)([A-Za-z_][\w. /-]*?|"[^"]*"|'[^']*')(?=:(?:\s|$))/;
const REST = /("(?:[^"\\]|\\.)*"|'[^']*')|((?:^|(?<=\s))#.*$)/g;

export function coloured(line: string): Piece[] {
  const key = KEY.exec(line);
  const start: Piece[] = key ? [{ text: key[1] ?? "", kind: "" }, { text: key[2] ?? "", kind: "key" }] : [];
  return [...start, ...rest(line.slice(key?.[0].length ?? 0))].filter((piece) => piece.text);
}

function rest(text: string): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const found of text.matchAll(REST)) {
    pieces.push({ text: text.slice(from, found.index), kind: "" }, { text: found[0], kind: found[1] === undefined ? "comment" : "text" });
    from = found.index + found[0].length;
  }
  return [...pieces, { text: text.slice(from), kind: "" }];
}
