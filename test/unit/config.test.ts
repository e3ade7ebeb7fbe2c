import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { instead, loadConfig } from "../../src/config/load.ts";
import { describeSettings, SETTINGS } from "../../src/config/schema.ts";
import { WeftError } from "../../src/errors.ts";
import { createLogger, textLine } from "../../src/log.ts";

const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(content: unknown): string {
  const path = join(folder, "weft.json");
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
  return path;
}

describe("configuration", () => {
  it("has a default for everything", () => {
    expect(loadConfig(undefined, {})).toMatchObject({
      stateDir: "/var/lib/weft",
      socket: "/run/weft/weft.sock",
      underlayAddresses: [],
      vxlanPort: 4789,
      metrics: null,
      log: { level: "info", format: null },
      datapath: { fdbSlots: 131072, spinUs: 50, auditIntervalS: 60 },
    });
  });

  it("takes flags before the file, the file before the environment", () => {
    const path = file({ vxlanPort: 8472, nodeName: "f", datapath: { spinUs: 7 } });
    const flags = { nodeName: "7", underlayAddress: ["192.0.2.1", "2001:db8::1"], logLevel: "debug", set: ["datapath.auditIntervalS=5"] };
    expect(loadConfig(path, flags, { WEFT_SOCKET: "/e.sock" })).toMatchObject({
      vxlanPort: 8472,
      nodeName: "7",
      underlayAddresses: ["192.0.2.1", "2001:db8::1"],
      log: { level: "debug" },
      datapath: { spinUs: 7, auditIntervalS: 5, fdbSlots: 131072 },
      socket: "/e.sock",
    });
    expect(loadConfig(file({ socket: "/f.sock" }), {}, { WEFT_SOCKET: "/e.sock" }).socket).toBe("/f.sock");
    expect(loadConfig(undefined, { socket: "unix:///g.sock" }, { WEFT_SOCKET: "/e.sock" }).socket).toBe("/g.sock");
  });

  it("makes paths absolute", () => {
    expect(loadConfig(undefined, { stateDir: "s" }).stateDir).toBe(join(process.cwd(), "s"));
  });

  it.each<[what: string, content: unknown, flags: Record<string, unknown>, message: string | RegExp]>([
    ["an unknown key", { vxlanprot: 1 }, {}, 'weft.json: there is no setting "vxlanprot"; did you mean "vxlanPort"?'],
    ["an unknown key inside", { datapath: { spinUS: 1 } }, {}, 'there is no setting "datapath.spinUS"; did you mean "datapath.spinUs"?'],
    ["an unknown key like none", { bogus: 1 }, {}, 'weft.json: there is no setting "bogus"; weft daemon --settings lists all'],
    ["an unknown --set", {}, { set: ["spinUs=1"] }, '--set spinUs=1: there is no setting "spinUs"; did you mean "datapath.spinUs"?'],
    ["--set without a value", {}, { set: ["spinUs"] }, "--set spinUs: write key=value"],
    ["a wrong type", { vxlanPort: "x" }, {}, 'setting "vxlanPort" is "x"'],
    ["a port out of range", {}, { vxlanPort: "70000" }, 'command line: setting "vxlanPort" is 70000'],
    [
      "an address that is none",
      {},
      { underlayAddress: ["nonsense"] },
      'setting "underlayAddresses.0" is "nonsense": must be an IP address',
    ],
    ["two addresses of a family", {}, { underlayAddress: ["192.0.2.1", "192.0.2.2"] }, "at most one IPv4 and one IPv6 address"],
    ["a log level that is none", {}, { logLevel: "loud" }, /setting "log.level" is "loud"/],
    ["slots that are no power of two", { datapath: { fdbSlots: 5000 } }, {}, 'setting "datapath.fdbSlots" is 5000: must be a power of two'],
    ["a metrics address without port", {}, { metrics: "localhost" }, "must be host:port"],
    ["a node name with blanks", {}, { nodeName: "a b" }, /setting "nodeName" is "a b"/],
    ["no JSON", "{", {}, "weft.json is no JSON"],
    ["a list", [], {}, "must be a JSON object"],
  ])("refuses %s", (_, content, flags, message) => {
    const load = () => loadConfig(file(content), flags);
    expect(load).toThrow(WeftError);
    expect(load).toThrow(message);
  });

  it("names a file that is not there", () => {
    expect(() => loadConfig(join(folder, "none.json"), {})).toThrow(/cannot read the configuration .*none.json: ENOENT/);
  });

  it("knows what was meant", () => {
    expect(instead("underlay")).toBe('did you mean "underlayAddresses"?');
    expect(instead("fdbslots")).toBe('did you mean "datapath.fdbSlots"?');
    expect(instead("log.levle")).toBe('did you mean "log.level"?');
  });

  it("documents every setting", () => {
    expect(SETTINGS.filter(({ doc }) => doc === "")).toEqual([]);
    expect(describeSettings()).toMatch(/^datapath\.spinUs +50 +microseconds/m);
  });
});

describe("the log", () => {
  const lines: string[] = [];
  const to = { write: (line: string) => lines.push(line) };

  it("is one JSON line an event", () => {
    createLogger({ level: "info", format: "json", to }).info({ vni: 5 }, "network created");
    expect(JSON.parse(lines.at(-1)!)).toMatchObject({ level: "info", vni: 5, msg: "network created" });
  });

  it("is text for people", () => {
    createLogger({ level: "info", format: "text", to }).warn({ name: "a b", n: 5, list: [1] }, "careful");
    expect(lines.at(-1)).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}careful name="a b" n=5 list=\[1\]\n$/);
  });

  it("has errors with their stack behind", () => {
    createLogger({ level: "info", format: "text", to }).error({ err: new Error("boom") }, "failed");
    expect(lines.at(-1)).toMatch(/ERROR failed err=boom\n {4}Error: boom\n {8}at /);
  });

  it("passes through what is no JSON", () => expect(textLine("raw\n")).toBe("raw\n"));
});
