// Variables of programs: how the command line and its files are read, what is stored and shown, and what a program gets.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Sandbox__Output } from "../../src/api/generated/weft/v1/Sandbox.ts";
import { environment, parseEnvFile, sandboxEnvironment } from "../../src/cli/environment.ts";
import { checkEnvironment } from "../../src/controller/sandboxes/environment.ts";
import { ROOT } from "../../src/paths.ts";
import { serveApi } from "../support/api.ts";
import { cli } from "../support/cli.ts";

const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string | Uint8Array, name = "some.env"): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const CALLER = { LANG: "C", EMPTY: "" };

describe("a file of variables", () => {
  // What docker run makes of them, by the tests of its client.
  it.each([
    ["A=1\nB=2", ["A=1", "B=2"]],
    ["# comment\n\n   \n\t# another\nA=1\n", ["A=1"]],
    ["A=a b\t\nB='x'\nC=\"y\"\nD=1 # no comment", ["A=a b\t", "B='x'", 'C="y"', "D=1 # no comment"]],
    ["A=b=c\nEMPTY_HERE=", ["A=b=c", "EMPTY_HERE="]],
    ["  A=1\n\tB=2", ["A=1", "B=2"]],
    ["A=1\r\nB=2\r\n", ["A=1", "B=2"]],
    ["LANG\nEMPTY\nUNDEFINED", ["LANG=C", "EMPTY="]],
    ["a-b.c=1\n_=2\n1=3", ["a-b.c=1", "_=2", "1=3"]],
  ])("%j", (text, expected) => {
    expect(parseEnvFile(Buffer.from(text), CALLER)).toEqual(expected);
  });

  it.each([
    ["A=1\n=2", "no variable name on line '=2'"],
    ["first line\nsecond", "variable 'first line' contains whitespaces"],
    ["A =1", "variable 'A ' contains whitespaces"],
    ["export A=1", "variable 'export A' contains whitespaces"],
  ])("%j is refused: %s", (text, message) => {
    const path = file(text);
    expect(() => environment({ envFile: [path] }, CALLER)).toThrow(`invalid env file (${path}): ${message}`);
  });

  it("may begin with a byte order mark, and has to be text", () => {
    expect(environment({ envFile: [file("\ufeffA=1")] }, CALLER)).toEqual(["A=1"]);
    const latin = file(Uint8Array.of(65, 61, 49, 10, 66, 61, 255));
    expect(() => environment({ envFile: [latin] }, CALLER)).toThrow(
      `invalid env file (${latin}): invalid utf8 bytes at line 2: [66 61 255]: save it as UTF-8`,
    );
    const utf16 = file(Buffer.from("\ufeffA=1\n", "utf16le"));
    expect(() => environment({ envFile: [utf16] }, CALLER)).toThrow(
      "invalid utf8 bytes at line 1: [255 254 65 0 61 0 49 0]: it looks like",
    );
    expect(() => environment({ envFile: [file("A=1\nB=\0secret")] }, CALLER)).toThrow(
      /: variable 'B' contains a NUL byte on line 2: [^:]*$/,
    );
  });

  // Node's own words would be "ENOENT: no such file or directory, open ...".
  it("has to be a file that is there and can be read", () => {
    const refused = (path: string): unknown => {
      try {
        return environment({ envFile: [path] }, CALLER);
      } catch (error) {
        return (error as Error).message;
      }
    };
    const remedy = "--env-file takes a file with lines NAME=value or NAME";
    expect(refused(join(folder, "none"))).toBe(`open ${join(folder, "none")}: no such file or directory: ${remedy}`);
    expect(refused(join(file("A=1"), "x"))).toBe(`open ${join(folder, "some.env", "x")}: not a directory: ${remedy}`);
    expect(refused(folder)).toBe(`invalid env file (${folder}): read ${folder}: is a directory: ${remedy}`);
  });
});

describe("the command line", () => {
  it("takes files first, then -e, each in its order", () => {
    const envFile = [file("A=file\nB=file", "one"), file("B=second", "two")];
    expect(environment({ envFile, env: ["A=flag", "LANG", "EMPTY", "UNDEFINED", "B="] }, CALLER)).toEqual(
      "A=file B=file B=second A=flag LANG=C EMPTY= UNDEFINED B=".split(" "),
    );
  });

  it.each(["", "=x"])("refuses %j in Docker's words", (text) => {
    expect(() => environment({ env: [text] }, CALLER)).toThrow(
      `invalid argument "${text}" for "-e, --env" flag: invalid environment variable: ${text}`,
    );
  });

  it("is passed on, and shown by inspect", async () => {
    const api = await serveApi();
    try {
      const weft = (...argv: string[]) => cli(argv, { socketPath: api.socketPath });
      const path = file("A=1\nB");
      expect(await weft("sandbox", "create", "--env-file", path, "-e", "C=x y", "--env", "WEFT_SOCKET", "s")).toMatchObject({ code: 0 });
      const expected = ["A=1", "C=x y", `WEFT_SOCKET=${api.socketPath}`];
      expect(api.controller.requests).toMatchObject([{ environment: expected }]);
      const [{ Config }] = JSON.parse((await weft("sandbox", "inspect", "s")).stdout);
      expect(Config.Env).toEqual(expected);
      expect(await weft("sandbox", "create", "-e", "=x", "t")).toMatchObject({ code: 2 });
      expect(api.controller.requests).toHaveLength(1);
    } finally {
      await api.close();
    }
  });
});

describe("the daemon", () => {
  it.each([
    ["", "invalid environment variable: "],
    ["=x", "invalid environment variable: =x"],
    ["A=secret\0", "invalid environment variable: A: there is a NUL byte"],
  ])("refuses %j", (text, message) => {
    expect(() => checkEnvironment(["B=1", text])).toThrow(message);
    expect(() => checkEnvironment([text])).not.toThrow("secret");
  });
});

it("a program gets the links', over them the sandbox's, over them what is added; of its sandbox it hears the truth", () => {
  const sandbox = {
    id: "f".repeat(64),
    name: "web",
    linkEnvironment: { DB_NAME: "/web/db", DB_PORT: "tcp://172.17.0.2:1", DB_ENV_USER: "app" },
    environment: ["A=1", "A=2", "DB_PORT=mine", "DB_ENV_USER", "__proto__=x", "WEFT_SANDBOX=other", "WEFT_SANDBOX_ID=0"],
  } as unknown as Sandbox__Output;
  const expected = { DB_NAME: "/web/db", DB_PORT: "mine", A: "2", WEFT_SANDBOX: "web", WEFT_SANDBOX_ID: "f".repeat(64) };
  expect(Object.entries(sandboxEnvironment(sandbox)).sort()).toEqual([...Object.entries(expected), ["__proto__", "x"]].sort());
  expect(sandboxEnvironment(sandbox, ["A=3", "DB_NAME", "N="])).toMatchObject({ A: "3", N: "" });
  expect(sandboxEnvironment(sandbox, ["DB_NAME"])).not.toHaveProperty("DB_NAME");
});

it("the launcher leaves --env-file to the command, though Node has an option of that name", () => {
  const { status, stderr } = spawnSync(join(ROOT, "bin/weft"), ["run", "--env-file", "/nonexistent", "--", "true"], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({
    status: 125,
    stderr: expect.stringMatching(/^weft: open \/nonexistent: no such file or directory: /),
  });
});
