// Two kinds of tests. "unit" ones live in memory; "host" ones make namespaces, TAPs and daemons and look at what crosses them,
// after the rest. Of both two files run at a time, for two cores is what Weft is tuned on. A file of host tests has a lab of its
// own (test/support/hosts.ts): nothing of it is seen by another, and no test relies on having the machine to itself.
// `--no-file-parallelism` runs one at a time.
import { defineConfig } from "vitest/config";

const HOST_TESTS = ["test/e2e/**/*.test.ts", "test/interop/**/*.test.ts", "test/compliance/**/*.test.ts"];

export default defineConfig({
  test: {
    globalSetup: ["test/global-setup.ts"],
    pool: "forks",
    // Not vitest's second, which is short on a machine with more to do.
    expect: { poll: { timeout: 10_000, interval: 20 } },
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
