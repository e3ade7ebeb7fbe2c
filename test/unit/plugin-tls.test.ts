// Plugins over TLS: an IPAM plugin in Python behind Python's ssl, certificates by openssl. What is shown to it, what is held
// against it, and what Weft says when one of the two does not like the other.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { EmbeddedIpam } from "../../src/ipam/embedded.ts";
import { IpamRegistry } from "../../src/ipam/registry.ts";
import { PluginIpams } from "../../src/ipam/remote/plugins.ts";
import { findPlugin } from "../../src/plugins/discovery.ts";
import { Plugin } from "../../src/plugins/plugin.ts";
import { MemoryStore } from "../../src/store/memory.ts";
import { type Certificate, TestAuthority } from "../support/certificates.ts";
import { startController } from "../support/controller.ts";
import { IpamPluginFolder, type TestIpamPlugin } from "../support/ipam-plugin.ts";

const LOCAL = "DNS:localhost,IP:127.0.0.1";
const RETRY_MS = 60_000; // a refusal that is tried again would time the test out

const folder = mkdtempSync(join(tmpdir(), `weft-t${process.pid}-tls-`));
const plugins = new IpamPluginFolder();
let authority: TestAuthority;
let other: TestAuthority;
let server: Certificate;
let client: Certificate;
let stranger: Certificate;
/** Wants a certificate of its authority. */
let mutual: TestIpamPlugin;
/** Wants none. */
let open: TestIpamPlugin;

const rubbish = join(folder, "rubbish.pem");

beforeAll(async () => {
  writeFileSync(rubbish, "not a certificate\n");
  authority = new TestAuthority(folder, "authority");
  other = new TestAuthority(folder, "other");
  server = authority.sign("server", LOCAL);
  client = authority.sign("weft", "DNS:weft");
  stranger = other.sign("stranger", "DNS:weft");
  const tls = { ca: readFileSync(authority.cert), cert: readFileSync(client.cert), key: readFileSync(client.key) };
  mutual = await plugins.startTcp(["--tls", server.cert, server.key, "--client-ca", authority.cert], tls);
  open = await plugins.startTcp(["--tls", server.cert, server.key], tls);
});
afterAll(async () => {
  await plugins.close();
  rmSync(folder, { recursive: true, force: true });
});

/** A description of a plugin, as its author puts it under /etc/docker/plugins. */
function describePlugin(name: string, address: string, TLSConfig: object | null): void {
  writeFileSync(join(plugins.folder, `${name}.json`), JSON.stringify({ Name: name, Addr: address, TLSConfig }));
}

const withClient = () => ({ CAFile: authority.cert, CertFile: client.cert, KeyFile: client.key });

async function refusal(address: string, TLSConfig: object | null): Promise<string> {
  describePlugin("refused", address, TLSConfig);
  const error = await new Plugin("refused", plugins.host(RETRY_MS)).require("IpamDriver").then(
    () => "it was taken",
    (one) => one,
  );
  expect(error).toMatchObject({ code: "UNAVAILABLE" });
  return error.message;
}

describe("a plugin over TLS", () => {
  it("gives pools and addresses to who shows the certificate in CertFile", async () => {
    describePlugin("mutual", `https://localhost:${mutual.port}`, withClient());
    const store = new MemoryStore();
    const ipams = new PluginIpams({ store, host: plugins.host(), log: () => {} });
    const { controller } = await startController({ store, options: { ipam: new IpamRegistry([new EmbeddedIpam()], ipams) } });
    const network = await controller.createNetwork({ name: "net", ipamDriver: "mutual", enableIpv6: true });
    expect(network.ipam.map(({ subnet }) => subnet)).toEqual(["10.77.0.0/24", "fd77::/64"]);
    const { endpoints } = await controller.createSandbox({ name: "box", networks: [{ network: "net" }] });
    expect(endpoints[0]!.endpoint).toMatchObject({ ipv4: "10.77.0.2/24", ipv6: "fd77::2/64" });
    await controller.removeSandbox("box", false);
    await controller.removeNetwork("net");
    expect(await mutual.books()).toEqual({});
    await vi.waitFor(() => expect(mutual.bodies("ReleasePool")).toHaveLength(2), 5000);
    const shown = mutual.requests.map((one) => one.client);
    expect(shown).toEqual(shown.map(() => ["weft"]));
  });

  it.each([
    ["an address that is in the certificate", "https://127.0.0.1", () => ({ CAFile: authority.cert })],
    ["tcp:// with a TLSConfig", "tcp://localhost", () => ({ CAFile: authority.cert })],
    ["anybody, where InsecureSkipVerify says so", "https://127.0.0.1", () => ({ InsecureSkipVerify: true })],
    ["a wrong authority, where InsecureSkipVerify says so", "https://127.0.0.1", () => ({ CAFile: other.cert, InsecureSkipVerify: true })],
  ])("is taken: %s", async (_, address, tls) => {
    describePlugin("taken", `${address}:${open.port}`, tls());
    await new Plugin("taken", plugins.host()).require("IpamDriver");
  });

  it.each([
    [
      "an authority that is not the server's",
      () => ({ CAFile: other.cert }),
      /certificate is not by the authority in TLSConfig\.CAFile .*: set CAFile/,
    ],
    ["no authority at all", () => ({}), /certificate is not by any authority that this host trusts .*: set CAFile/],
  ])("is refused at once: %s", async (_, tls, message) => {
    expect(await refusal(`https://127.0.0.1:${open.port}`, tls())).toMatch(message);
    expect(await refusal(`https://127.0.0.1:${open.port}`, tls())).toMatch(/^no TLS with plugin refused \(https:\/\/127\.0\.0\.1:\d+\): /);
  });

  it("verifies by the system's authorities what has no TLSConfig", async () => {
    expect(await refusal(`https://127.0.0.1:${open.port}`, null)).toMatch(/not by any authority that this host trusts/);
  });

  it.each([
    ["none", () => ({ CAFile: authority.cert }), /asks for a certificate .*: set TLSConfig\.CertFile and TLSConfig\.KeyFile/],
    [
      "one of another authority",
      () => ({ CAFile: authority.cert, CertFile: stranger.cert, KeyFile: stranger.key }),
      /refuses the certificate in TLSConfig\.CertFile \(unknown ca\): have it signed/,
    ],
  ])("that wants a certificate says no to %s, and it is told why", async (_, tls, message) => {
    const before = mutual.requests.length;
    expect(await refusal(`https://127.0.0.1:${mutual.port}`, tls())).toMatch(message);
    await vi.waitFor(() => expect(mutual.requests.length).toBeGreaterThan(before), 5000);
    expect(mutual.requests.slice(before)).toEqual([expect.objectContaining({ refused: expect.any(String) })]);
  });

  it("is refused where its certificate is for another name, or has expired", async () => {
    const elsewhere = authority.sign("elsewhere", "DNS:elsewhere.test");
    const named = await plugins.startTcp(["--tls", elsewhere.cert, elsewhere.key]);
    const tls = { CAFile: authority.cert };
    expect(await refusal(`https://127.0.0.1:${named.port}`, tls)).toMatch(
      /its certificate is not for 127\.0\.0\.1: give Addr a name that is in it/,
    );
    const past = authority.expired(server);
    const late = await plugins.startTcp(["--tls", past.cert, past.key]);
    expect(await refusal(`https://127.0.0.1:${late.port}`, tls)).toMatch(/its certificate has expired: renew it/);
  });

  it("is refused where nothing speaks TLS", async () => {
    const plain = await plugins.startTcp();
    expect(await refusal(`https://127.0.0.1:${plain.port}`, { CAFile: authority.cert })).toMatch(
      /it does not speak TLS: write Addr as http:\/\//,
    );
  });
});

describe("TLSConfig", () => {
  it.each([
    ["CAFile that is not there", { CAFile: "/nonexistent/ca.pem" }, /TLSConfig\.CAFile can't be read: ENOENT.*\/nonexistent\/ca\.pem/],
    ["CAFile that is none", { CAFile: rubbish }, /TLSConfig\.CAFile .*rubbish\.pem holds no certificate/],
    ["KeyFile that is none", () => ({ ...withClient(), KeyFile: rubbish }), /TLSConfig\.KeyFile .*rubbish\.pem holds no private key/],
    [
      "KeyFile of another",
      () => ({ ...withClient(), KeyFile: stranger.key }),
      /KeyFile .*stranger\.key is not the key of the certificate .*weft\.pem/,
    ],
    ["CertFile alone", () => ({ CertFile: client.cert }), /CertFile and TLSConfig\.KeyFile need each other, KeyFile is missing/],
    ["KeyFile alone", () => ({ KeyFile: client.key }), /need each other, CertFile is missing/],
  ])("with a %s is refused, naming the file", (_, tls, message) => {
    describePlugin("bad", "https://localhost:1", typeof tls === "function" ? tls() : tls);
    const find = () => findPlugin("bad", { sockets: [], specs: [plugins.folder] });
    expect(find).toThrow(/^\/.*bad\.json: TLSConfig\./);
    expect(find).toThrow(message);
  });
});
