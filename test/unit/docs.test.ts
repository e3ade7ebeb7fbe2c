// Documents that list what the code lists must list all of it: drop reasons, counters, nodes, rooms; and what they name must be there.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ROOT } from "../../src/paths.ts";
import { COUNTER_NAMES, DROP_NAMES, DROP_TEXTS } from "../../wasm/shared/counters.ts";

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");

/** First cell, in code marks, and second cell of each row. */
function rows(text: string): Map<string, string> {
  return new Map([...text.matchAll(/^\| `([^`]+)` \| (.+) \|$/gm)].map((match) => [match[1] ?? "", match[2] ?? ""]));
}

describe("docs/datapath.md", () => {
  const listed = rows(read("docs/datapath.md"));

  it("has every drop reason with its sentence", () => {
    expect(DROP_NAMES.map((name) => [name, listed.get(name)])).toEqual(DROP_NAMES.map((name, i) => [name, DROP_TEXTS[i]]));
  });

  it("has every counter", () => {
    expect(COUNTER_NAMES.filter((name) => !listed.has(name))).toEqual([]);
  });

  it("has every node", () => {
    const nodes = readdirSync(join(ROOT, "wasm/nodes")).map((name) => name.replace(/\.ts$/, ""));
    expect(nodes.filter((name) => !listed.has(name))).toEqual([]);
  });
});

describe("ARCHITECTURE.md", () => {
  it("says of every room of src what it knows", () => {
    const text = read("ARCHITECTURE.md");
    const table = text.slice(text.indexOf("## Rooms and directions"), text.indexOf("## Where to add"));
    const leaves = ["net", "config"];
    const rooms = readdirSync(join(ROOT, "src"), { withFileTypes: true }).filter((entry) => entry.isDirectory());
    const missing = rooms.map(({ name }) => name).filter((name) => !leaves.includes(name) && !table.includes(`src/${name}`));
    expect(missing).toEqual([]);
  });

  it("names files that are there", () => {
    const named = [...read("ARCHITECTURE.md").matchAll(/(?<![\w./-])(?:src|wasm|native|test|docs|bench)\/[\w./-]*\w/g)].map(
      ([path]) => path,
    );
    const there = (path: string): boolean => ["", ".ts", ".rs"].some((ending) => existsSync(join(ROOT, path + ending)));
    expect(named.filter((path) => !there(path))).toEqual([]);
  });
});

describe("README.md", () => {
  it("gives each host of an overlay addresses and a VNI that fit the other's", () => {
    const commands = [...read("README.md").matchAll(/weft network create -d overlay(?:[^\n]*\\\n)*[^\n]*/g)].map(([command]) => command);
    expect(commands.length).toBeGreaterThan(1);
    expect(commands.filter((command) => !/--ip-range .*vxlanid_list=/s.test(command))).toEqual([]);
  });
});

describe("links in documents", () => {
  const documents = ["", "docs"].flatMap((folder) =>
    readdirSync(join(ROOT, folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => join(folder, name)),
  );

  it.each(documents)("of %s lead to files", (document) => {
    const links = [...read(document).matchAll(/\]\((?!https?:)([^)#]+)/g)].map((match) => match[1] ?? "");
    expect(links.filter((link) => !existsSync(join(ROOT, dirname(document), link)))).toEqual([]);
  });
});
