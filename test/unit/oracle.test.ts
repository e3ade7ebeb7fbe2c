// What `npm run oracle` calls the same and what a difference, and its list against the document.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { compareRefusals, compareTrees } from "../../scripts/oracle/compare.mjs";
import { DIFFERENCES } from "../../scripts/oracle/differences.mjs";
import { DOCUMENT, withList } from "../../scripts/oracle/document.mjs";
import { Names, refusal } from "../../scripts/oracle/normalise.mjs";

describe("the comparison with Docker", () => {
  it.each([
    ["Error response from daemon: network n1 not found\n", "weft: network n1 not found\n", true],
    ["Error response from daemon: Address already in use\n", "weft: Address already in use: 10.0.0.2; choose another\n", true],
    ["docker: Error response from daemon: No.\nSee 'docker run --help'.\n", "weft: No\n", true],
    [`Error response from daemon: error while removing network: in use\nexit status 1\n`, "weft: in use: by a\n", true],
    ["Error response from daemon: container a is up\n", "weft: sandbox a is up\n", true],
    ["Error response from daemon: Address in use\n", "weft: Address in useless places\n", false],
    ["", "weft: no\n", false],
    ["Error response from daemon: no\n", "", false],
  ])("%j against %j: same is %j", (docker, weft, same) => {
    expect(compareRefusals(refusal(docker), refusal(weft)).length === 0).toBe(same);
  });

  it("finds what differs in documents, by its path", () => {
    const docker = { Name: "a", Config: [{ Subnet: "x" }], Only: null };
    const weft = { Name: "a", Config: [{ Subnet: "y" }, { Subnet: "z" }] };
    expect(compareTrees(docker, weft)).toEqual([
      { aspect: ".Config[0].Subnet", docker: '"x"', weft: '"y"' },
      { aspect: ".Config[1]", docker: "(absent)", weft: '{"Subnet":"z"}' },
      { aspect: ".Only", docker: "null", weft: "(absent)" },
    ]);
  });

  it("keeps whose an id is", () => {
    const names = new Names();
    const [known, unknown] = ["a".repeat(64), "b".repeat(64)];
    names.learn(known, "n1");
    expect(names.tree({ [known]: [unknown, `br-${known.slice(0, 12)}`, "02:42:0a:00:00:02"] })).toEqual({
      "<id of n1>": ["<id>", "br-<short id of n1>", "<mac>"],
    });
  });
});

describe("docs/differences-from-docker.md", () => {
  it("is what the list says", () => {
    const text = readFileSync(DOCUMENT, "utf8");
    expect(withList(text)).toBe(text);
  });

  it("has reasons of different names", () => {
    const ids = DIFFERENCES.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });
});
