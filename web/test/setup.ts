import { cleanup } from "@testing-library/react";
import { afterEach, vi } from "vitest";

// What pages ask of a browser and the test's page lacks.
vi.stubGlobal("ResizeObserver", class {
  observe() {}
  unobserve() {}
  disconnect() {}
});
vi.stubGlobal("matchMedia", (query: string) => ({
  matches: query.includes("min-width"),
  media: query,
  addEventListener() {},
  removeEventListener() {},
  addListener() {},
  removeListener() {},
}));

afterEach(() => {
  cleanup();
  localStorage.clear();
});
