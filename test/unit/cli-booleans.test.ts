// Switches with values: which words are ours to read.
import { Command } from "commander";
import { expect, it } from "vitest";
import { plainBooleans } from "../../src/cli/booleans.ts";

const program = new Command("weft").option("-q, --quiet").option("--socket <path>");
program
  .command("run")
  .option("--rm")
  .option("-d, --detach")
  .option("-i, --interactive")
  .option("-e, --env <text>")
  .option("-p, --publish <port>")
  .option("--network <name>")
  .argument("<program...>");
program
  .command("create")
  .alias("new")
  .option("--ipv6")
  .option("--no-ipv6")
  .option("-i, --internal")
  .option("-l, --label <text>")
  .argument("<name>");

it.each([
  ["create --ipv6=true n", "create --ipv6 n"],
  ["create n --ipv6=0", "create n --no-ipv6"],
  ["new --internal=false n", "new n"],
  ["--quiet=t create --internal=F n", "--quiet create n"],
  ["create -l --internal=1 n", "create -l --internal=1 n"],
  ["create --unknown=1 --label=x n", "create --unknown=1 --label=x n"],
  ["run --network web --rm=1 sh --rm=1 --rm=no", "run --network web --rm sh --rm=1 --rm=no"],
  ["run --rm=0 -- --rm=no", "run -- --rm=no"],
  ["run -d=false -i=1 sh -d=0", "run --interactive sh -d=0"],
  ["run -id=false sh", "run -i sh"],
  ["run -e=A=1 -dp=80:80 -p= sh", "run -e A=1 -d -p 80:80 -p  sh"],
  ["run -ep=1 -eA=1 -x=1 sh", "run -ep=1 -eA=1 -x=1 sh"],
])("%s means %s", (given, meant) => {
  expect(plainBooleans(given.split(" "), program).join(" ")).toBe(meant);
});

it("refuses what is no truth", () => {
  expect(() => plainBooleans(["create", "--ipv6=maybe", "n"], program)).toThrow(
    'invalid argument "maybe" for "--ipv6": give true or false',
  );
});
