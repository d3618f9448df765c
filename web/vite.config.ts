import react from "@vitejs/plugin-react";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const OUT = "../provisioning/api/ui";
const FIRST_PAGE_LIMIT_KB = 300;

/** Prints what the first page loads, and fails when that is too much. */
function firstPage(): Plugin {
  return {
    name: "first-page",
    apply: "build",
    closeBundle() {
      const page = readFileSync(join(OUT, "index.html"), "utf8");
      const named = [...page.matchAll(/(?:src|href)="\/([^"]+\.js)"/g)].map((match) => match[1] ?? "");
      const zipped = (file: string) => gzipSync(readFileSync(join(OUT, file))).length / 1000;
      const first = named.reduce((sum, file) => sum + zipped(file), 0);
      const all = readdirSync(join(OUT, "assets")).filter((file) => file.endsWith(".js"));
      const whole = all.reduce((sum, file) => sum + zipped(join("assets", file)), 0);
      console.log(`first page: ${first.toFixed(1)} kB of JavaScript gzipped; everything: ${whole.toFixed(1)} kB`);
      if (first > FIRST_PAGE_LIMIT_KB) throw new Error(`the first page may load ${FIRST_PAGE_LIMIT_KB} kB`);
    },
  };
}

export default defineConfig({
  plugins: [react(), firstPage()],
  build: {
    outDir: OUT,
    emptyOutDir: true,
    // The page forbids data: and inline code, so that nothing a step prints can become either.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 600,
  },
  server: { proxy: { "/api": "http://127.0.0.1:8090" } },
  test: { environment: "happy-dom", include: ["test/**/*.test.{ts,tsx}"], setupFiles: ["test/setup.ts"], css: false, testTimeout: 60_000 },
});
