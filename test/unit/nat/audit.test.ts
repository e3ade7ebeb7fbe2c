// When an audit runs: at once after a change of somebody else, then paced; by the clock; and never after its end.
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { auditRules } from "../../../src/nat/audit.ts";

let audits: number;
let change: () => void;
let said: string[];
let end: () => void;
beforeEach(() => {
  vi.useFakeTimers();
  audits = 0;
  said = [];
});
afterEach(() => {
  end();
  vi.useRealTimers();
});

const remember = (onChange: () => void): void => {
  change = onChange;
};

function begin(intervalS: number, watch: (onChange: () => void) => void = remember): void {
  const nat = { audit: async () => ++audits > 100 };
  const watchNftables = (table: string, onChange: () => void): void => {
    expect(table).toBe("weft");
    watch(onChange);
  };
  end = auditRules(nat, { native: { watchNftables }, intervalS, log: (_, message) => said.push(message), pauseMs: 1000 });
}

it("answers the first change at once, and who goes on once a pause", () => {
  begin(0);
  change();
  vi.advanceTimersByTime(0);
  expect(audits).toBe(1);
  for (let n = 0; n < 299; n++) {
    change();
    vi.advanceTimersByTime(10);
  }
  expect(audits).toBe(3);
  // The last change is not forgotten.
  vi.advanceTimersByTime(1000);
  expect(audits).toBe(4);
  vi.advanceTimersByTime(100_000);
  expect(audits).toBe(4);
});

it("looks by the clock where nothing is heard, and says why", () => {
  begin(60, () => {
    throw new Error("socket NETLINK_NETFILTER: EPROTONOSUPPORT");
  });
  expect(said).toEqual(["changes that others make to the host's rules are not heard of"]);
  vi.advanceTimersByTime(180_000);
  expect(audits).toBe(3);
});

it("ends, with a change under way", () => {
  begin(60);
  change();
  end();
  change();
  vi.advanceTimersByTime(180_000);
  expect(audits).toBe(0);
});
