import { useWindowVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef, useState } from "react";
import "./table.css";

export interface Column<Row> {
  readonly key: string;
  readonly head: ReactNode;
  readonly width: string; // of a grid track
  readonly narrow?: boolean; // shown on a phone too
  readonly end?: boolean; // at the right of its column
  readonly cell: (row: Row) => ReactNode;
}

interface Props<Row> {
  readonly label: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly keyOf: (row: Row) => string;
  readonly row_px?: number;
  readonly onEnd?: () => void; // the last row came into view
  readonly below?: (row: Row) => ReactNode; // an expanded part, or nothing
}

/** A table that draws only the rows in view and scrolls with the page. Arrow keys move between rows, as Tab would through all their links. */
export function Table<Row>({ label, columns, rows, keyOf, row_px = 42, onEnd, below }: Props<Row>) {
  const body = useRef<HTMLDivElement>(null);
  const above_px = useAbove(body);
  const shown = useWindowVirtualizer({
    count: rows.length,
    estimateSize: () => row_px,
    scrollMargin: above_px,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : keyOf(row);
    },
    overscan: 12,
    initialRect: { width: 900, height: 600 },
  });
  const items = shown.getVirtualItems();
  const last = items[items.length - 1]?.index ?? -1;
  useEffect(() => {
    if (last >= 0 && last >= rows.length - 1) onEnd?.();
  }, [last, rows.length]);
  const tracks = (some: readonly Column<Row>[]) => some.map((column) => column.width).join(" ");
  const style = { "--columns": tracks(columns), "--columns-narrow": tracks(columns.filter((column) => column.narrow)) };

  return (
    <div className="table" role="table" aria-label={label} aria-rowcount={rows.length + 1} style={style as object} onKeyDown={moveFocus}>
      <div role="rowgroup" className="table-head">
        <div role="row" className="table-row">
          {columns.map((column) => (
            <div key={column.key} role="columnheader" data-narrow={column.narrow || undefined} data-end={column.end || undefined}>
              {column.head}
            </div>
          ))}
        </div>
      </div>
      <div ref={body} role="rowgroup" className="table-body" style={{ height: shown.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div key={item.key} ref={shown.measureElement} data-index={item.index} className="table-place" style={{ transform: `translateY(${item.start - above_px}px)` }}>
              <div role="row" className="table-row" aria-rowindex={item.index + 2} tabIndex={item.index === 0 ? 0 : -1}>
                {columns.map((column) => (
                  <div key={column.key} role="cell" data-narrow={column.narrow || undefined} data-end={column.end || undefined}>
                    {column.cell(row)}
                  </div>
                ))}
              </div>
              {below?.(row)}
            </div>
          );
        })}
      </div>
    </div>
  );
}

/** How far below the page's beginning something starts, in pixels. What is above it may grow at any time. */
function useAbove(place: RefObject<HTMLElement | null>): number {
  const [above_px, setAbove] = useState(0);
  useLayoutEffect(() => {
    const look = () => {
      if (place.current) setAbove(Math.round(place.current.getBoundingClientRect().top + window.scrollY));
    };
    look();
    const sizes = new ResizeObserver(look);
    sizes.observe(document.body);
    return () => sizes.disconnect();
  }, [place]);
  return above_px;
}

function moveFocus(event: KeyboardEvent<HTMLDivElement>): void {
  const row = (event.target as HTMLElement).closest<HTMLElement>(".table-body .table-row");
  if (!row || event.target !== row) return;
  if (event.key === "Enter") row.querySelector<HTMLElement>("a, button")?.click();
  const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
  if (!step) return;
  event.preventDefault();
  const index = Number(row.parentElement?.dataset["index"]) + step;
  event.currentTarget.querySelector<HTMLElement>(`[data-index="${index}"] > .table-row`)?.focus();
}
