import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type ReactNode, useRef } from "react";

export interface Column<Row> {
  readonly key: string;
  readonly head: ReactNode;
  readonly width: string; // of a grid track
  readonly narrow?: boolean; // shown on a phone too
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

/** A table that draws only the rows in view. Arrow keys move between rows, as Tab would through all their links. */
export function Table<Row>({ label, columns, rows, keyOf, row_px = 44, onEnd, below }: Props<Row>) {
  const box = useRef<HTMLDivElement>(null);
  const shown = useVirtualizer({
    count: rows.length,
    getScrollElement: () => box.current,
    estimateSize: () => row_px,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : keyOf(row);
    },
    overscan: 12,
    initialRect: { width: 900, height: 600 },
  });
  const items = shown.getVirtualItems();
  const last = items[items.length - 1];
  const asked = useRef(0);
  if (onEnd && last && last.index >= rows.length - 1 && asked.current !== rows.length) {
    asked.current = rows.length;
    queueMicrotask(onEnd);
  }
  const tracks = (some: readonly Column<Row>[]) => some.map((column) => column.width).join(" ");
  const style = { "--columns": tracks(columns), "--columns-narrow": tracks(columns.filter((column) => column.narrow)) };

  return (
    <div ref={box} className="table" role="table" aria-label={label} aria-rowcount={rows.length + 1} style={style as object} onKeyDown={moveFocus}>
      <div role="rowgroup" className="table-head">
        <div role="row" className="table-row">
          {columns.map((column) => (
            <div key={column.key} role="columnheader" data-narrow={column.narrow || undefined}>
              {column.head}
            </div>
          ))}
        </div>
      </div>
      <div role="rowgroup" className="table-body" style={{ height: shown.getTotalSize() }}>
        {items.map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div key={item.key} ref={shown.measureElement} data-index={item.index} className="table-place" style={{ transform: `translateY(${item.start}px)` }}>
              <div role="row" className="table-row" aria-rowindex={item.index + 2} tabIndex={item.index === 0 ? 0 : -1}>
                {columns.map((column) => (
                  <div key={column.key} role="cell" data-narrow={column.narrow || undefined}>
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
