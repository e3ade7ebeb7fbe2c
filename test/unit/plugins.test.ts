// Where plugins of Docker's protocol are found.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { findPlugin } from "../../src/plugins/discovery.ts";

const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("where a plugin is", () => {
  const folders = () => ({ sockets: [folder], specs: [folder] });
  it.each([
    ["tcp.spec", "tcp://127.0.0.1:8080\n", { kind: "tcp", host: "127.0.0.1", port: 8080, tls: null }],
    ["six.spec", "http://[::1]:8080", { kind: "tcp", host: "::1", port: 8080, tls: null }],
    ["unix.spec", "unix:///run/other.sock", { kind: "unix", path: "/run/other.sock" }],
    ["plain.json", '{"Name":"plain","Addr":"http://h:81"}', { kind: "tcp", host: "h", port: 81, tls: null }],
    [
      "tls.json",
      '{"Addr":"https://h:82","TLSConfig":{"InsecureSkipVerify":true}}',
      { kind: "tcp", host: "h", port: 82, tls: { verify: false } },
    ],
  ])("says %s: %s", (name, text, address) => {
    writeFileSync(join(folder, name), text);
    expect(findPlugin(name.split(".")[0]!, folders())).toEqual(address);
  });

  it.each(["", "..", "../books", "a/b", ".hidden", "x".repeat(200)])("is nowhere for the name %j", (name) => {
    expect(findPlugin(name, folders())).toBeNull();
  });

  it("refuses a file that says nothing, naming it", () => {
    writeFileSync(join(folder, "bad.spec"), "here");
    expect(() => findPlugin("bad", folders())).toThrow(/bad\.spec does not say where plugin bad is/);
  });
});
