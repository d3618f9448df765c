import { PLAIN, type Span, type Style, plain, spansOf } from "./ansi";

/** The lines of a growing text. Adding costs what is added; only lines that are shown are taken apart. */
export class Lines {
  private readonly kept: string[] = [""];
  private readonly begins: Style[] = [PLAIN];

  constructor(text = "") {
    this.add(text);
  }

  get count(): number {
    const last = this.kept[this.kept.length - 1];
    return last === "" ? this.kept.length - 1 : this.kept.length;
  }

  /** Adds what came; the last line may still grow. */
  add(text: string): void {
    if (!text) return;
    const parts = text.split("\n");
    this.kept[this.kept.length - 1] += parts[0] ?? "";
    for (const part of parts.slice(1)) {
      this.begins.push(this.styleAfterLast());
      this.kept.push(part);
    }
  }

  spans(index: number): Span[] {
    return spansOf(shown(this.kept[index] ?? ""), this.begins[index] ?? PLAIN).spans;
  }

  /** The whole text as it reads, for the clipboard. */
  text(): string {
    return this.kept.map((line) => plain(shown(line))).join("\n");
  }

  /** Returns the indexes of lines that hold `words`, whatever the case. */
  search(words: string): number[] {
    const wanted = words.toLowerCase();
    if (!wanted) return [];
    return this.kept.flatMap((line, index) => (plain(line).toLowerCase().includes(wanted) ? [index] : []));
  }

  private styleAfterLast(): Style {
    const index = this.kept.length - 1;
    const line = this.kept[index] ?? "";
    const before = this.begins[index] ?? PLAIN;
    return line.includes("\u001b") ? spansOf(line, before).after : before;
  }
}

/** A progress bar writes over its line: what stands after the last carriage return is what one would see. */
function shown(line: string): string {
  const ended = line.endsWith("\r") ? line.slice(0, -1) : line;
  const at = ended.lastIndexOf("\r");
  return at < 0 ? ended : ended.slice(at + 1);
}
