// Holds the import directions: which room may know which. A room is a folder of src/ or wasm/, or a file at their top. The
// tables below are the rule; ARCHITECTURE.md says why.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../src/paths.ts";

interface Import {
  readonly from: string;
  /** A path below ROOT for a relative import, else the package's name. */
  readonly to: string;
  readonly typeOnly: boolean;
}

function sources(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts") && !name.includes("node_modules"))
    .map((name) => join(folder, name));
}

/** Static, dynamic and re-exporting imports, and worker URLs, which are imports in all but syntax. */
function importsOf(file: string): Import[] {
  const text = readFileSync(join(ROOT, file), "utf8").replace(/^\s*(\/\/|\*).*$/gm, "");
  const found: Import[] = [];
  const patterns = [
    /^\s*(?:import|export)\s(?<type>type\s)?[^;"']*?from\s*["'](?<to>[^"']+)["']/gm,
    /^\s*import\s*["'](?<to>[^"']+)["']/gm,
    /\bimport\(\s*["'](?<to>[^"']+)["']/g,
    /new URL\(\s*["'](?<to>\.[^"']+)["']\s*,\s*import\.meta\.url/g,
  ];
  for (const pattern of patterns) {
    for (const match of text.matchAll(pattern)) {
      const to = match.groups?.to ?? "";
      found.push({
        from: file,
        to: to.startsWith(".") ? relative(ROOT, normalize(join(ROOT, dirname(file), to))) : to,
        typeOnly: match.groups?.type !== undefined,
      });
    }
  }
  return found;
}

/** "src/net/mac.ts" -> "net", "src/main.ts" -> "main". */
function room(path: string): string {
  return (path.split("/")[1] ?? "").replace(/\.[jt]s$/, "");
}

const show = (violation: Import): string => `${violation.from} imports ${violation.to}`;

// ── src ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
// Values and small tools that know nothing of the product; each room may use them.
const LEAVES = ["net", "errors", "clock", "log", "metrics", "paths", "config", "repeat"];

const SRC_ROOMS: Record<string, readonly string[]> = {
  // argv, exit codes; the composition root, the only place that constructs and orders subsystems.
  main: ["daemon", "cli"],
  daemon: [
    "api",
    "controller",
    "records",
    "dns",
    "drivers",
    "ipam",
    "keys",
    "store",
    "datapath",
    "ports",
    "netns",
    "nat",
    "plugins",
    "purge",
  ],
  // Beside the daemon: what one leaves on the host, taken without one.
  purge: ["dns", "nat", "netns", "ports", "store"],
  // The CLI is a client: what it knows of the daemon is the API. Programs in sandboxes are its own children.
  cli: ["api", "netns"],
  api: ["controller", "records", "datapath", "keys"],
  controller: ["records", "dns", "drivers", "ipam", "keys", "store", "datapath", "netns", "nat"],
  // What is stored of the CNM, as plain data: known to whoever computes from it.
  records: [],
  // Names are computed from records that the composition root feeds.
  dns: ["records", "ports"],
  drivers: ["records", "datapath", "ipam", "netns", "nat"],
  ipam: ["records", "store", "plugins"],
  // Programs of other people, over HTTP: it knows the protocol's frame, not what is asked.
  plugins: [],
  // Who may encrypt with whom: it derives associations from secrets, and knows no network.
  keys: ["store", "datapath"],
  store: ["records"],
  // The datapath knows no CNM object.
  datapath: ["ports", "netns"],
  // Rules of the host's kernel, from plain data.
  nat: [],
  netns: ["records", "ports"],
  ports: [],
};

// An interface that rooms speak to each other in: its types may be known where its code may not.
const CONTRACTS = ["src/ports/native.ts"];

describe("src", () => {
  const all = sources("src")
    .flatMap(importsOf)
    .filter((one) => !(one.typeOnly && CONTRACTS.includes(one.to)));
  const inside = all.filter((one) => one.to.startsWith("src/") && room(one.from) !== room(one.to));

  it("has no room that this test doesn't know", () => {
    const rooms = new Set(sources("src").map(room));
    expect([...rooms].filter((name) => !(name in SRC_ROOMS) && !LEAVES.includes(name))).toEqual([]);
  });

  it("imports along the table of rooms only", () => {
    const wrong = inside.filter((one) => ![...(SRC_ROOMS[room(one.from)] ?? []), ...LEAVES].includes(room(one.to)));
    expect(wrong.map(show)).toEqual([]);
  });

  it("keeps the leaves free of the product", () => {
    const wrong = inside.filter((one) => LEAVES.includes(room(one.from)) && !LEAVES.includes(room(one.to)));
    expect(wrong.map(show)).toEqual([]);
  });

  it("lets the controller know drivers by their interface, never a concrete one", () => {
    const concrete = /^src\/drivers\/[^/]+\//;
    expect(inside.filter((one) => room(one.from) === "controller" && concrete.test(one.to)).map(show)).toEqual([]);
  });

  it("lets the controller know the name service by its interface", () => {
    const known = inside.filter((one) => room(one.from) === "controller" && room(one.to) === "dns");
    expect(known.filter((one) => one.to !== "src/dns/names.ts").map(show)).toEqual([]);
  });

  it("has no two files that need each other, by whatever way round", () => {
    const needs = new Map<string, Import[]>();
    for (const one of all) needs.set(one.from, [...(needs.get(one.from) ?? []), one]);
    const free = new Set<string>();
    const around = (file: string, path: readonly string[]): readonly string[] | undefined => {
      if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
      if (free.has(file)) return undefined;
      for (const { to } of needs.get(file) ?? []) {
        const circle = around(to, [...path, file]);
        if (circle !== undefined) return circle;
      }
      free.add(file);
      return undefined;
    };
    expect([...needs.keys()].map((file) => around(file, [])).find((circle) => circle !== undefined)).toBeUndefined();
  });

  it("imports wasm/shared of wasm/, nothing else", () => {
    const wrong = all.filter((one) => one.to.startsWith("wasm/") && !one.to.startsWith("wasm/shared/"));
    expect(wrong.map(show)).toEqual([]);
  });

  it("reaches the addon through ports/native.ts, from ports, netns and the composition root only", () => {
    const allowed = ["ports", "netns", "daemon"];
    const wrong = all.filter((one) => one.to === "src/ports/native.ts" && !one.typeOnly && !allowed.includes(room(one.from)));
    expect(wrong.map(show)).toEqual([]);
  });

  it("loads the addon in one place", () => {
    const loads = sources("src").filter((file) => /ADDON_PATH|\.node["'`]/.test(readFileSync(join(ROOT, file), "utf8")));
    expect(loads.filter((file) => file !== "src/paths.ts")).toEqual(["src/ports/native.ts"]);
  });

  it("names its files: relative imports end in .ts", () => {
    expect(all.filter((one) => one.to.startsWith("src/") && !one.to.endsWith(".ts")).map(show)).toEqual([]);
  });
});

// ── wasm ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
// A room may import itself and what stands behind it.
const WASM_ORDER = ["testing", "index", "graph", "nodes", "tables", "crypto", "core", "wire", "shared"];

describe("wasm", () => {
  const all = sources("wasm").flatMap(importsOf);

  it("imports downwards only: index, nodes, tables, core, wire, shared", () => {
    const rank = (path: string): number => WASM_ORDER.indexOf(room(path));
    expect(sources("wasm").filter((file) => rank(file) < 0)).toEqual([]);
    expect(all.filter((one) => rank(one.to) < rank(one.from)).map(show)).toEqual([]);
  });

  it("has nodes that don't know each other: packets go from node to node by edges", () => {
    const wrong = all.filter((one) => room(one.from) === "nodes" && room(one.to) === "nodes");
    expect(wrong.map(show)).toEqual([]);
  });

  it("has shared files that import nothing: both compilers read them", () => {
    expect(all.filter((one) => room(one.from) === "shared").map(show)).toEqual([]);
  });

  it("imports nothing but itself", () => {
    expect(all.filter((one) => !one.to.startsWith("wasm/")).map(show)).toEqual([]);
  });
});

describe("tests", () => {
  it("are imported by nothing but tests", () => {
    const product = [...sources("src"), ...sources("wasm")].flatMap(importsOf);
    expect(product.filter((one) => one.to.startsWith("test/") || one.to === "vitest").map(show)).toEqual([]);
  });
});
