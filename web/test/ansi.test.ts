import { describe, expect, it } from "vitest";
import { PLAIN, plain, spansOf } from "../src/logs/ansi";
import { Lines } from "../src/logs/lines";

const ESC = "\u001b";

describe("colours of a terminal", () => {
  it("become classes, and the words around them stay", () => {
    const { spans } = spansOf(`a ${ESC}[1;31mred${ESC}[0m b`);
    expect(spans).toEqual([
      { text: "a ", classes: "" },
      { text: "red", classes: "ansi-bold ansi-fg-1" },
      { text: " b", classes: "" },
    ]);
  });

  it("of 256 and of 16 million are brought to the palette", () => {
    expect(spansOf(`${ESC}[38;5;196mx`).spans[0]?.classes).toBe("ansi-fg-9");
    expect(spansOf(`${ESC}[48;2;0;0;200mx`).spans[0]?.classes).toBe("ansi-bg-4");
    expect(spansOf(`${ESC}[38;5;196;1mx`).spans[0]?.classes).toBe("ansi-bold ansi-fg-9");
  });

  it("go on over the end of a line", () => {
    const { after } = spansOf(`${ESC}[32mgreen`);
    expect(after).toEqual({ ...PLAIN, fg: 2 });
    expect(new Lines(`${ESC}[32mone\ntwo`).spans(1)).toEqual([{ text: "two", classes: "ansi-fg-2" }]);
  });

  it("leave nothing behind, nor do titles, cursor moves, control and direction marks", () => {
    const line = `${ESC}]0;title\u0007${ESC}[2Ka${ESC}[10;3Hb${ESC}(Bc\u0000\u202ed`;
    expect(spansOf(line).spans.map((span) => span.text).join("")).toBe("abcd");
    expect(plain(`${ESC}[31mred${ESC}[m`)).toBe("red");
  });

  it("cut short do no harm", () => {
    for (const text of [`${ESC}`, `${ESC}[`, `${ESC}[38;5`, `${ESC}[38;2;1m`, `${ESC}]0;x`]) {
      expect(() => spansOf(`${text}`)).not.toThrow();
    }
  });
});

describe("lines", () => {
  it("are the same however the text arrives", () => {
    const text = `one\n${ESC}[31mtwo\nthree${ESC}[0m\nfour`;
    const whole = new Lines(text);
    const pieces = new Lines();
    for (const character of text) pieces.add(character);
    expect(pieces.count).toBe(4);
    for (let index = 0; index < whole.count; index += 1) expect(pieces.spans(index)).toEqual(whole.spans(index));
  });

  it("show what a progress bar shows last", () => {
    expect(new Lines("10%\r50%\r100%\r\nnext").text()).toBe("100%\nnext");
  });

  it("are found whatever the case and the colours", () => {
    expect(new Lines(`no\nan ${ESC}[1mER${ESC}[0mROR\nno`).search("error")).toEqual([1]);
  });

  it("of a text that ends with a newline have no empty one at the end", () => {
    expect(new Lines("a\nb\n").count).toBe(2);
    expect(new Lines("").count).toBe(0);
  });
});
