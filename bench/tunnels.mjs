// Other people's encrypted tunnels in user space, each between two hosts of its own that a veth joins; client and server run on
// the hosts themselves, which saves them the way through a bridge that Weft's sandboxes have. What is not installed is left out.
//
//   client, tunnel device ── daemon ══ underlay veth, MTU 1500 ══ daemon ── tunnel device, server
import { accessSync, constants, mkdirSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { inNamespace } from "../scripts/lab.mjs";
import { run, StepError } from "../scripts/steps.mjs";

/** @typedef {import("./topology.mjs").Subject} Subject */
/**
 * What this file wants of the topology.
 * @typedef {object} Ground
 * @property {import("../scripts/lab.mjs").Lab} lab
 * @property {(prefix: string, net: string) => Promise<void>} twoHosts
 * @property {(short: string, lines: string[]) => Promise<string>} ip
 * @property {(short: string, argv: string[]) => Promise<string>} at
 */

const DEVICE_MS = 10_000;
const GREETING_MS = 20_000;

/** @param {string} program */
function onPath(program) {
  return (process.env.PATH ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Waits for a program's interface. @param {Ground["lab"]} lab @param {string} short @param {string} device */
export async function deviceAppears(lab, short, device) {
  for (const until = Date.now() + DEVICE_MS; ; await wait(50)) {
    try {
      return await run(inNamespace(lab.namespacePath(short), ["ip", "link", "show", "dev", device]));
    } catch (error) {
      if (Date.now() > until) throw new StepError(`${device} did not appear in ${short}`, error instanceof StepError ? error.output : "");
    }
  }
}

/**
 * A folder of the lab, for one host's keys and settings. @param {Ground} ground @param {string} short
 */
function folderOf({ lab }, short) {
  const folder = join(lab.folder, short);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return folder;
}

/** @param {string} path @param {string[]} lines */
const write = (path, lines) => writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });

/** @type {Record<string, { title: string, programs: string[], build: (ground: Ground, prefix: string, net: string, inner: string) => Promise<number[]> }>} */
const TUNNELS = {
  "wireguard-go": {
    title: "wireguard-go",
    programs: ["wireguard-go", "wg"],
    async build(ground, prefix, net, inner) {
      const { lab, ip, at } = ground;
      const hosts = await Promise.all(
        ["a", "b"].map(async (side) => {
          const key = (await run(["wg", "genkey"])).trim();
          const file = join(folderOf(ground, prefix + side), "key");
          write(file, [key]);
          return { short: prefix + side, file, pub: (await run(["wg", "pubkey"], { input: key })).trim() };
        }),
      );
      const pids = [];
      for (const [i, { short, file }] of hosts.entries()) {
        const other = /** @type {typeof hosts[0]} */ (hosts[1 - i]);
        // The name is that of a socket which all namespaces share.
        const device = `weft-${short}`;
        const env = { WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD: "1" };
        pids.push(lab.start(lab.namespacePath(short), ["wireguard-go", "-f", device], { log: `${file}.log`, env }));
        await deviceAppears(lab, short, device);
        const peer = ["peer", other.pub, "endpoint", `${net}.${2 - i}:51820`, "allowed-ips", `${inner}.0/24`];
        await at(short, ["wg", "set", device, "private-key", file, "listen-port", "51820", ...peer]);
        await ip(short, [`address add ${inner}.${i + 1}/24 dev ${device}`, `link set ${device} mtu 1420 up`]);
      }
      return pids;
    },
  },
  openvpn: {
    title: "OpenVPN, tap, AES-256-GCM",
    programs: ["openvpn", "openssl"],
    async build(ground, prefix, net, inner) {
      const { lab } = ground;
      const hosts = await Promise.all(
        ["a", "b"].map(async (side) => {
          const folder = folderOf(ground, prefix + side);
          const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
          const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
          await run(["openssl", "req", "-x509", ...curve, "-subj", `/CN=${side}`, "-keyout", key, "-out", cert]);
          const print = await run(["openssl", "x509", "-in", cert, "-noout", "-fingerprint", "-sha256"]);
          return { short: prefix + side, folder, key, cert, fingerprint: /=(\S+)/.exec(print)?.[1] ?? "" };
        }),
      );
      const pids = hosts.map(({ short, folder, key, cert }, i) => {
        const argv = [
          ...["openvpn", "--dev", "tap0", "--dev-type", "tap", "--local", `${net}.${i + 1}`, "--remote", `${net}.${2 - i}`],
          ...(i === 0 ? ["--tls-server", "--dh", "none"] : ["--tls-client"]),
          ...["--key", key, "--cert", cert, "--peer-fingerprint", hosts[1 - i]?.fingerprint ?? ""],
          ...["--data-ciphers", "AES-256-GCM", "--ifconfig", `${inner}.${i + 1}`, "255.255.255.0", "--verb", "1"],
        ];
        return lab.start(lab.namespacePath(short), argv, { log: join(folder, "log") });
      });
      for (const { short } of hosts) await deviceAppears(lab, short, "tap0");
      return pids;
    },
  },
  tinc: {
    title: "tinc 1.0, tap",
    programs: ["tincd"],
    async build(ground, prefix, net, inner) {
      const { lab, ip } = ground;
      const shorts = [`${prefix}a`, `${prefix}b`];
      for (const [i, short] of shorts.entries()) {
        const folder = folderOf(ground, short);
        const settings = [`Name = ${short}`, "Mode = switch", "DeviceType = tap", "Interface = tap0", "MaxTimeout = 1"];
        write(join(folder, "tinc.conf"), i === 0 ? settings : [...settings, `ConnectTo = ${shorts[0]}`]);
        mkdirSync(join(folder, "hosts"), { recursive: true });
        write(join(folder, "hosts", short), [`Address = ${net}.${i + 1}`, "Cipher = aes-256-cbc", "Digest = sha256"]);
        await run(["tincd", "-c", folder, "-K2048"], { input: "\n\n" });
      }
      for (const [i, short] of shorts.entries())
        await run(["cp", join(folderOf(ground, short), "hosts", short), join(folderOf(ground, shorts[1 - i] ?? ""), "hosts", short)]);
      const pids = shorts.map((short) => {
        const folder = folderOf(ground, short);
        const argv = ["tincd", "-c", folder, "-D", `--pidfile=${join(folder, "pid")}`];
        return lab.start(lab.namespacePath(short), argv, { log: join(folder, "log") });
      });
      for (const [i, short] of shorts.entries()) {
        await deviceAppears(lab, short, "tap0");
        await ip(short, [`address add ${inner}.${i + 1}/24 dev tap0`, "link set tap0 mtu 1400 up"]);
      }
      return pids;
    },
  },
  nebula: {
    title: "nebula",
    programs: ["nebula", "nebula-cert"],
    async build(ground, prefix, net, inner) {
      const { lab } = ground;
      const shorts = [`${prefix}a`, `${prefix}b`];
      const authority = folderOf(ground, `${prefix}ca`);
      const ca = ["-ca-crt", join(authority, "ca.crt"), "-ca-key", join(authority, "ca.key")];
      await run(["nebula-cert", "ca", "-name", "bench", "-out-crt", join(authority, "ca.crt"), "-out-key", join(authority, "ca.key")]);
      const pids = [];
      for (const [i, short] of shorts.entries()) {
        const folder = folderOf(ground, short);
        const files = ["-out-crt", join(folder, "host.crt"), "-out-key", join(folder, "host.key")];
        await run(["nebula-cert", "sign", ...ca, "-name", short, "-ip", `${inner}.${i + 1}/24`, ...files]);
        write(join(folder, "config.yml"), [
          `pki: { ca: ${join(authority, "ca.crt")}, cert: ${join(folder, "host.crt")}, key: ${join(folder, "host.key")} }`,
          `static_host_map: { "${inner}.${2 - i}": ["${net}.${2 - i}:4242"] }`,
          i === 0 ? "lighthouse: { am_lighthouse: true }" : `lighthouse: { am_lighthouse: false, hosts: ["${inner}.1"] }`,
          `listen: { host: ${net}.${i + 1}, port: 4242 }`,
          "tun: { dev: neb0, mtu: 1300 }",
          "firewall: { outbound: [{ port: any, proto: any, host: any }], inbound: [{ port: any, proto: any, host: any }] }",
        ]);
        const argv = ["nebula", "-config", join(folder, "config.yml")];
        pids.push(lab.start(lab.namespacePath(short), argv, { log: join(folder, "log") }));
        await deviceAppears(lab, short, "neb0");
      }
      return pids;
    },
  },
};

/** Whether it carries a ping, which some do only when their ends have greeted each other. @param {Subject} subject */
async function answers({ client, address }) {
  for (const until = Date.now() + GREETING_MS; Date.now() < until; await wait(200)) {
    const ping = run(inNamespace(client, ["ping", "-q", "-c", "1", "-W", "1", address]));
    if (
      await ping.then(
        () => true,
        () => false,
      )
    )
      return true;
  }
  return false;
}

/**
 * Those that are installed and work; says which are not.
 *
 * @param {Ground} ground
 * @returns {Promise<Subject[]>}
 */
export async function tunnelSubjects(ground) {
  const subjects = [];
  for (const [i, [key, { title, programs, build }]] of Object.entries(TUNNELS).entries()) {
    const missing = programs.filter((program) => !onPath(program));
    if (missing.length > 0) {
      process.stdout.write(`${title} is left out, ${missing.join(" and ")} not installed; `);
      continue;
    }
    const [prefix, net, inner] = [`t${i}`, `10.219.${i}`, `10.220.${i}`];
    await ground.twoHosts(prefix, net);
    const daemons = await build(ground, prefix, net, inner);
    const [client, server] = [`${prefix}a`, `${prefix}b`].map((short) => ground.lab.namespacePath(short));
    const subject = { key, title, client: client ?? "", server: server ?? "", address: `${inner}.2`, daemons };
    if (await answers(subject)) subjects.push(subject);
    else process.stdout.write(`${title} is left out, its ends don't find each other; `);
  }
  return subjects;
}
