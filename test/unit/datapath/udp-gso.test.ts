// Which kernels' TAPs take UDP super-frames, by their release.
import { describe, expect, it } from "vitest";
import { takesUdpGso } from "../../../src/datapath/tables/flags.ts";

describe("takesUdpGso", () => {
  it.each([
    ["5.10.0-35-amd64", false],
    ["6.1.0-32-amd64", false],
    ["6.2.0", true],
    ["6.12.38+deb13-amd64", true],
    ["7.0.0-rc1", true],
  ])("%s: %s", (release, expected) => {
    expect(takesUdpGso(release)).toBe(expected);
  });
});
