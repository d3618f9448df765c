import type { Span } from "./ansi";

/** Whether a line says whose output follows. */
export function isHead(spans: readonly Span[]): boolean {
  const text = spans[0]?.text ?? "";
  return text.startsWith("==> ") && text.endsWith(" <==");
}

/** Returns a line's spans, with what is searched for marked. Text stays text. */
export function marked(spans: readonly Span[], words: string) {
  return spans.map((span, index) => (
    <span key={index} className={span.classes || undefined}>
      {words ? parts(span.text, words) : span.text}
    </span>
  ));
}

function parts(text: string, words: string) {
  const wanted = words.toLowerCase();
  const lower = text.toLowerCase();
  const pieces = [];
  let from = 0;
  for (let at = lower.indexOf(wanted); at >= 0; at = lower.indexOf(wanted, from)) {
    pieces.push(text.slice(from, at), <mark key={at}>{text.slice(at, at + words.length)}</mark>);
    from = at + words.length;
  }
  return [...pieces, text.slice(from)];
}
