import { ActionIcon, Button, Switch, TextInput } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { CopyButton } from "../parts/CopyButton";
import { Icon } from "../parts/Icon";
import { saved } from "../parts/download";
import { Lines } from "./lines";
import { isHead, marked } from "./marked";
import "./log.css";

interface Props {
  readonly label: string; // what a screen reader calls it
  readonly text: string;
  readonly live?: boolean; // more may come
  readonly file: string; // name of the download
  readonly title?: string;
  readonly tall?: boolean; // the page has nothing else to show
}

const LINE_PX = 19;

/** Text of a terminal: colours, search, follow, wrap, download, copy. Draws only the lines in view. */
export default function LogViewer({ label, text, live = false, file, title, tall = false }: Props) {
  const lines = useLines(text);
  const [words, setWords] = useState("");
  const [wrap, setWrap] = useState(false);
  const [follow, setFollow] = useState(live);
  const [full, setFull] = useState(false);
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({
    count: lines.count,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_PX,
    overscan: 30,
    initialRect: { width: 800, height: 400 },
  });
  const found = useMemo(() => lines.search(words), [lines, lines.count, words]);
  const [at, setAt] = useState(0);

  useEffect(() => {
    if (follow && lines.count) rows.scrollToIndex(lines.count - 1, { align: "end" });
  }, [follow, lines.count, rows, full]);
  useEffect(() => {
    rows.measure();
  }, [wrap, rows]);

  const goTo = (next: number) => {
    if (!found.length) return;
    const place = (next + found.length) % found.length;
    setAt(place);
    setFollow(false);
    rows.scrollToIndex(found[place] ?? 0, { align: "center" });
  };
  useEffect(() => goTo(0), [words]); // what is searched for is shown as it is written
  const onScroll = () => {
    const element = box.current;
    if (element && follow && element.scrollHeight - element.scrollTop - element.clientHeight > LINE_PX * 4) setFollow(false);
  };
  const current = words ? found[at] : undefined;

  if (!lines.count && title) return <Silent label={label} title={title} live={live} />;
  return (
    <section className="log" aria-label={label} data-full={full || undefined} onKeyDown={(event) => event.key === "Escape" && setFull(false)}>
      <div className="log-tools">
        {title && <strong className="log-title">{title}</strong>}
        <TextInput
          aria-label="Search in this log"
          placeholder="Search"
          size="xs"
          className="log-search"
          leftSection={<Icon name="search" />}
          value={words}
          onChange={(event) => {
            setWords(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") goTo(event.shiftKey ? at - 1 : at + 1);
            if (event.key === "Escape" && words) {
              event.stopPropagation();
              setWords("");
            }
          }}
        />
        {words && (
          <>
            <span className="small" role="status">
              {found.length ? `${Math.min(at + 1, found.length)} of ${found.length.toLocaleString("en")}` : "nothing found"}
            </span>
            <ActionIcon variant="subtle" color="gray" aria-label="Previous match" onClick={() => goTo(at - 1)}>
              <Icon name="up" />
            </ActionIcon>
            <ActionIcon variant="subtle" color="gray" aria-label="Next match" onClick={() => goTo(at + 1)}>
              <Icon name="down" />
            </ActionIcon>
          </>
        )}
        <span className="log-space" />
        <Switch size="xs" label="Follow" checked={follow} onChange={(event) => setFollow(event.currentTarget.checked)} />
        <Switch size="xs" label="Wrap" checked={wrap} onChange={(event) => setWrap(event.currentTarget.checked)} />
        <CopyButton what={() => lines.text()} />
        <Button size="compact-xs" variant="default" leftSection={<Icon name="download" />} onClick={() => saved(file, text)}>
          Download
        </Button>
        <ActionIcon variant="subtle" color="gray" aria-label={full ? "Back to the page" : "Fill the window"} aria-pressed={full} onClick={() => setFull(!full)}>
          <Icon name={full ? "cross" : "wide"} />
        </ActionIcon>
      </div>
      <div ref={box} className="log-box" data-wrap={wrap || undefined} data-tall={tall || undefined} tabIndex={0} role="log" aria-live="off" aria-label={label} onScroll={onScroll}>
        {lines.count === 0 && <div className="log-none">{live ? "Nothing printed yet." : "Nothing was printed."}</div>}
        <div className="log-all" style={{ height: rows.getTotalSize() }}>
          {rows.getVirtualItems().map((row) => {
            const spans = lines.spans(row.index);
            return (
              <div
                key={row.key}
                ref={rows.measureElement}
                data-index={row.index}
                data-found={row.index === current || undefined}
                data-head={(tall && isHead(spans)) || undefined}
                className="log-line"
                style={{ transform: `translateY(${row.start}px)` }}
              >
                <span className="log-number">{row.index + 1}</span>
                <span className="log-text">{marked(spans, words)}</span>
              </div>
            );
          })}
        </div>
      </div>
    </section>
  );
}

/** One of two streams that has nothing to say takes one line. */
function Silent({ label, title, live }: { readonly label: string; readonly title: string; readonly live: boolean }) {
  return (
    <section className="log" aria-label={label}>
      <div className="log-tools">
        <strong className="log-title">{title}</strong>
        <span className="quiet">{live ? "Nothing printed yet." : "Nothing was printed."}</span>
      </div>
    </section>
  );
}

/** Text only ever grows at its end or is another one: what is new is added, the rest stays taken apart. */
function useLines(text: string): Lines {
  const kept = useRef({ text: "", lines: new Lines() });
  if (kept.current.text !== text) {
    const grown = text.startsWith(kept.current.text);
    if (grown) kept.current.lines.add(text.slice(kept.current.text.length));
    kept.current = { text, lines: grown ? kept.current.lines : new Lines(text) };
  }
  return kept.current.lines;
}
