const PATHS = {
  up: "M4 10l4-4 4 4",
  down: "M4 6l4 4 4-4",
  right: "M6 4l4 4-4 4",
  copy: "M6 6h7v7H6zM10 6V3H3v7h3",
  download: "M8 2v8M4.5 7L8 10.5 11.5 7M3 13.5h10",
  play: "M5 3l8 5-8 5z",
  stop: "M4 4h8v8H4z",
  again: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3.2H9.8",
  menu: "M2 4h12M2 8h12M2 12h12",
  sun: "M8 5a3 3 0 1 1 0 6 3 3 0 0 1 0-6M8 1v2M8 13v2M1 8h2M13 8h2M3 3l1.5 1.5M11.500 11.500L13 13M13 3l-1.500 1.500M4.500 11.500L3 13",
  moon: "M13 9.500A5.500 5.500 0 0 1 6.500 3 5.500 5.500 0 1 0 13 9.500z",
  check: "M3 8.500L6.500 12 13 4.500",
  cross: "M4 4l8 8M12 4l-8 8",
  pause: "M5.500 3v10M10.500 3v10",
  dags: "M3 3h4v3H3zM9 10h4v3H9zM5 6v5.500h4",
  list: "M6 4h8M6 8h8M6 12h8M2.500 4h.5M2.500 8h.5M2.500 12h.5",
  clock: "M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2M8 5v3.500l2.500 1.500",
  servers: "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.5M5 11h.5",
  letter: "M2 4h12v8.500H2zM2 4.500l6 4.500 6-4.500",
  key: "M5.500 8a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5M7.300 8.700L13 3M10.500 5.500l2 2",
  people: "M8 3a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5M3 14c0-3 2-4.500 5-4.500s5 1.500 5 4.500",
  book: "M3.500 2.500h9v11h-9zM6 5.500h4M6 8h4M6 10.500h2",
  wide: "M9.500 2.500h4v4M6.500 13.500h-4v-4M13.500 2.500L9 7M2.500 13.500L7 9",
  search: "M7 2.500a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9M10.500 10.500L14 14",
} as const;

/** A small drawing that repeats what a text or label says. */
export function Icon({ name }: { readonly name: keyof typeof PATHS }) {
  return (
    <svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.6" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
