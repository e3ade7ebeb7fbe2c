// Two kinds of tests. "unit" ones live in memory and run on all cores but never more than two, the machine that Weft is
// tuned on. "host" ones make namespaces, TAPs and daemons and measure what crosses them: one file at a time, after the rest.
import { defineConfig } from "vitest/config";

const HOST_TESTS = ["test/e2e/**/*.test.ts", "test/interop/**/*.test.ts", "test/compliance/**/*.test.ts"];

export default defineConfig({
  test: {
    globalSetup: ["test/global-setup.ts"],
    pool: "forks",
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: HOST_TESTS,
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "host",
          include: HOST_TESTS,
          maxWorkers: 2,
          testTimeout: 120_000,
          hookTimeout: 120_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
