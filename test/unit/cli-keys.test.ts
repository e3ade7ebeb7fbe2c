// What the command line has of keys: files that go to the daemon, and figures that come back.
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeEach, describe, expect, it } from "vitest";
import type { AssociationView } from "../../src/keys/key-service.ts";
import { type ServedApi, serveApi } from "../support/api.ts";
import { type CliSetting, cli } from "../support/cli.ts";

let api: ServedApi;
const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-`));

beforeEach(async () => {
  api = await serveApi();
});
afterEach(() => api.close());
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const weft = (argv: readonly string[], setting: CliSetting = {}) => cli(argv, { socketPath: api.socketPath, ...setting });

const SEED = Buffer.from(Uint8Array.from({ length: 32 }, (_, i) => i * 7)).toString("base64");

function keyFile(mode = 0o600, text = `${SEED}\n`): string {
  const path = join(folder, "pair.key");
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

describe("peer add", () => {
  it("sends a seed, and shows what kind of keys there are and no key", async () => {
    const argv = ["peer", "add", "--key-file", keyFile(), "--esp-transport", "raw", "--local-id", "a", "--peer-id", "b", "192.0.2.2"];
    expect(await weft(argv)).toMatchObject({ code: 0, stdout: "192.0.2.2\n", stderr: "" });
    const secret = api.controller.secrets.get("192.0.2.2")!;
    if (secret.kind !== "seed") throw new Error("no seed arrived");
    expect(Buffer.from(secret.seed.copy()).toString("base64")).toBe(SEED);
    expect(secret).toMatchObject({ transport: "raw", localId: "a", peerId: "b" });
    const listed = await weft(["peer", "ls"]);
    expect(listed.stdout).toMatch(/^ADDRESS {4}PORT {2}NETWORK {2}ENCRYPTION {2}CREATED\n192\.0\.2\.2 {2}4789 {2}\* {8}key, raw/);
    const [document] = JSON.parse((await weft(["peer", "ls", "--format", "json"])).stdout);
    expect(document).toMatchObject({ Address: "192.0.2.2", Encryption: "key", Transport: "raw", LeftOutOf: [] });
    expect(JSON.stringify([document, api.logged, api.controller.requests])).not.toContain(SEED.slice(0, 8));
  });

  it("takes it from standard input, and warns of files that others may read", async () => {
    expect(await weft(["peer", "add", "--key-file", "-", "192.0.2.2"], { typed: SEED })).toMatchObject({ code: 0, stderr: "" });
    expect(api.controller.secrets.size).toBe(1);
    const open = await weft(["peer", "add", "--key-file", keyFile(0o644), "192.0.2.3"]);
    expect(open).toMatchObject({ code: 0, stderr: expect.stringMatching(/warning: .*pair\.key has mode 0644: others .* chmod 600/) });
  });

  it.each([
    ["a file that is not there", ["--key-file", "/nowhere/pair.key"], 2, /--key-file: cannot read \/nowhere\/pair\.key: ENOENT/],
    ["both files", ["--key-file", "a", "--sa-file", "b"], 2, /--key-file or --sa-file, not both/],
    ["nothing on standard input", ["--sa-file", "-"], 2, /standard input is empty/],
  ])("refuses %s", async (_, flags, code, message) => {
    const result = await weft(["peer", "add", ...flags, "192.0.2.2"]);
    expect(result.code).toBe(code);
    expect(result.stderr).toMatch(message);
    expect(api.controller.peers).toEqual([]);
  });

  it("passes on the daemon's refusal, which has no key in it", async () => {
    const result = await weft(["peer", "add", "--key-file", keyFile(0o600, `${SEED}?`), "192.0.2.2"]);
    expect(result).toMatchObject({ code: 1, stderr: expect.stringContaining("not one line of base64") });
    expect(result.stderr + JSON.stringify(api.logged)).not.toContain(SEED.slice(0, 8));
  });

  it.each([
    ["192.0.2.2", { address: "192.0.2.2", port: 61000 }, "key, udp at 192.0.2.2:61000", "192.0.2.2:61000"],
    ["2001:db8::2", { address: "2001:db8::7", port: 4500 }, "key, udp at [2001:db8::7]:4500", "[2001:db8::7]:4500"],
    ["2001:db8::2", { address: "2001:db8::2", port: 4500 }, "key, udp ", "[2001:db8::2]:4500"],
  ])("shows where peer %s is that a NAT stands before", async (address, remote, text, whole) => {
    await weft(["peer", "add", "--key-file", keyFile(), address]);
    api.controller.remote = remote;
    expect((await weft(["peer", "ls"])).stdout).toContain(text);
    expect(JSON.parse((await weft(["peer", "ls", "--format", "json"])).stdout)).toMatchObject([{ Remote: whole }]);
  });

  it("says where a peer without keys is left out", async () => {
    api.controller.leftOutOf = ["prod"];
    expect((await weft(["peer", "add", "192.0.2.2"])).stderr).toContain("left out of encrypted networks: prod");
    expect((await weft(["peer", "ls"])).stdout).toContain("none, left out of prod");
  });
});

describe("cluster keys", () => {
  it("new prints another seed each time, and needs no daemon", async () => {
    const first = await cli(["cluster", "keys", "new"], { socketPath: "/nowhere.sock" });
    const second = await cli(["cluster", "keys", "new"], { socketPath: "/nowhere.sock" });
    expect(first.code).toBe(0);
    expect(first.stdout).toMatch(/^[A-Za-z0-9+/]{43}=\n$/);
    expect(Buffer.from(first.stdout, "base64")).toHaveLength(32);
    expect(first.stdout).not.toBe(second.stdout);
  });

  it("rotate and ls", async () => {
    await api.keys.setPeer("192.0.2.2", 4789, {
      ...{ kind: "seed", seed: undefined as never, transport: "udp", localId: null, peerId: null },
    });
    expect(await weft(["cluster", "keys", "rotate"])).toMatchObject({ code: 0, stdout: "1 pair has a new key\n" });
    expect(api.keys.rotations).toBe(1);
    expect((await weft(["cluster", "keys", "ls"])).stdout).toMatch(
      /^PEER .*ENCRYPTION .*TRANSPORT .*INDEX .*KEY SINCE .*HEARD\n192\.0\.2\.2 +key +udp +7 .* ago +yes\n$/,
    );
    const [document] = JSON.parse((await weft(["cluster", "keys", "ls", "--format", "json"])).stdout);
    expect(document).toEqual({
      Address: "192.0.2.2",
      Encryption: "key",
      Transport: "udp",
      Index: 7,
      Since: "2026-01-31T12:00:00.000Z",
      Heard: true,
      Remote: "192.0.2.2:4500",
    });
  });
});

describe("a peer that has keys and was not heard", () => {
  it("is named by cluster keys ls, with what to do", async () => {
    const secret = { kind: "seed", seed: undefined as never, transport: "udp", localId: null, peerId: null } as const;
    await api.keys.setPeer("192.0.2.2", 4789, secret);
    api.keys.heard = false;
    const silent = await weft(["cluster", "keys", "ls"]);
    expect(silent).toMatchObject({ code: 0, stdout: expect.stringMatching(/^192\.0\.2\.2 .* no$/m) });
    expect(silent.stderr).toMatch(/^weft: peer 192\.0\.2\.2 has not been heard .* weft peer add --key-file FILE .* UDP port 4500 .*\n$/);
    api.keys.heard = true;
    expect((await weft(["cluster", "keys", "ls"])).stderr).toBe("");
  });
});

describe("an encrypted network that has no peer with keys", () => {
  it("is named by cluster keys ls, with what to do, beside the list", async () => {
    await weft(["network", "create", "-d", "overlay", "--opt", "encrypted", "prod"]);
    await weft(["network", "create", "-d", "overlay", "plain"]);
    const alone = await weft(["cluster", "keys", "ls"]);
    expect(alone).toMatchObject({ code: 0, stdout: expect.stringMatching(/^PEER .*\n$/) });
    expect(alone.stderr).toMatch(/^weft: network prod is encrypted .* weft peer add --key-file FILE ADDRESS\n$/);
    expect(JSON.parse((await weft(["cluster", "keys", "ls", "--format", "json"])).stdout)).toEqual([]);
    await weft(["peer", "add", "--key-file", keyFile(), "192.0.2.2"]);
    expect((await weft(["cluster", "keys", "ls"])).stderr).toBe("");
  });
});

describe("sa", () => {
  const association = (more: Partial<AssociationView>): AssociationView => ({
    ...{ spi: 0x80000001, peer: "192.0.2.2", direction: "out", algorithm: "aes-256-gcm", icvBytes: 16, esn: true, transport: "udp" },
    ...{
      current: true,
      ageS: 90,
      sequence: 5n,
      packets: 5n,
      bytes: 2n ** 60n,
      replayed: 1n,
      late: 2n,
      forged: 3n,
      malformed: 4n,
      pathMtuBytes: null,
    },
    ...more,
  });

  it("fits 80 columns with the longest figures of IPv4, cut nowhere", async () => {
    const figures = { packets: 2n ** 32n, bytes: 2n ** 38n, ageS: 43_199, replayed: 123_456n };
    api.keys.associations = [association({ peer: "192.168.100.200", ...figures }), association({ direction: "in", current: false })];
    const { stdout } = await weft(["sa"]);
    const lines = stdout.trimEnd().split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines[2]).toMatch(/^0x80000001 {2}192\.168\.100\.200 {2}out\* {2}aes-256-gcm {2}11h 59m +4\.3G +275G +123k$/);
  });

  it("has every figure in JSON", async () => {
    api.keys.associations = [association({ pathMtuBytes: 1400 })];
    const [document] = JSON.parse((await weft(["sa", "--format", "json"])).stdout);
    expect(document).toEqual({
      ...{ Spi: "0x80000001", Peer: "192.0.2.2", Direction: "out", Algorithm: "aes-256-gcm", IcvBytes: 16, Esn: true, Transport: "udp" },
      ...{ Current: true, AgeS: 90, Sequence: 5, Packets: 5, Bytes: String(2n ** 60n) },
      ...{ Replayed: 1, Late: 2, Forged: 3, Malformed: 4, PathMtu: 1400 },
    });
  });

  it("lists them, of all networks and of one", async () => {
    api.keys.associations = [association({ peer: "192.0.2.9", direction: "in", spi: 0xa }), association({})];
    const { stdout } = await weft(["sa"]);
    expect(stdout).toMatch(/^SPI .*PEER .*DIR .*ALGORITHM .*AGE .*PACKETS .*BYTES .*REPLAY\n0x80000001 +192\.0\.2\.2 +out\*/);
    await weft(["network", "create", "-d", "overlay", "--opt", "encrypted", "prod"]);
    await weft(["peer", "add", "192.0.2.9"]);
    const rows = JSON.parse((await weft(["sa", "prod", "--format", "json"])).stdout);
    expect(rows).toEqual([expect.objectContaining({ Spi: "0x0000000a", Peer: "192.0.2.9", Direction: "in", Replayed: 1, Forged: 3 })]);
    expect(await weft(["sa", "nosuch"])).toMatchObject({ code: 1, stderr: "weft: network nosuch not found\n" });
  });
});

describe("what others show", () => {
  it("info: who encrypts and why", async () => {
    expect((await weft(["info"])).stdout).toMatch(/\ncrypto +native: self-test passed\n/);
    expect(JSON.parse((await weft(["info", "--format", "json"])).stdout)).toMatchObject({ Crypto: "native" });
  });

  it("network inspect: the option, the MTU, and who is left out", async () => {
    api.controller.chosenOptions = { "com.docker.network.driver.mtu": "1408" };
    await weft(["network", "create", "-d", "overlay", "--opt", "encrypted", "prod"]);
    const inspect = async () => JSON.parse((await weft(["network", "inspect", "prod"])).stdout)[0];
    expect((await inspect()).Options).toEqual({ encrypted: "", "com.docker.network.driver.mtu": "1408" });
    expect(await inspect()).not.toHaveProperty("Warnings");
    api.controller.networkWarnings = ["peer x is left out"];
    expect((await inspect()).Warnings).toEqual(["peer x is left out"]);
  });

  it("capture --decrypt: of the underlay, the encrypted networks' domains", async () => {
    await weft(["network", "create", "-d", "overlay", "--opt", "encrypted", "prod"]);
    await weft(["network", "create", "-d", "overlay", "plain"]);
    const file = join(folder, "inner.pcapng");
    expect(await weft(["capture", "underlay", "--decrypt", "-w", file])).toMatchObject({ code: 0 });
    const id = [...api.controller.networks.values()].find(({ name }) => name === "prod")!.id;
    expect(api.datapath.captured).toMatchObject([{ underlay: true, opened: [id, `${id}/1`] }]);
    expect(await weft(["capture", "prod", "--decrypt", "-w", file])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("underlay"),
    });
  });

  it.each([["sa"], ["cluster", "keys", "new"], ["cluster", "keys", "rotate"], ["cluster", "keys", "ls"]])(
    "%s %s %s --help",
    async (...words) => {
      const { code, stdout } = await weft([...words.filter((word) => typeof word === "string"), "--help"]);
      expect(code).toBe(0);
      expect(stdout).toContain("Examples:\n  ");
    },
  );
});
