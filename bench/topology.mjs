// What is compared: pairs of namespaces with a way between them, one way a subject. All stand at the same time, so that a
// run can go from one to the next within a second; the ones not measured are silent.
//
//   overlay:  client ── host a ══ underlay veth, MTU 1500 ══ host b ── server        containers have MTU 1450
//   bridge:   client ── host a ── server                                             MTU 1500
//   published: client ══ veth ══ host, nftables ── server                            MTU 1500
//
// The same for Weft (TAPs, its daemon in each host) and for the kernel (veths, bridge, vxlan), and the kernel's overlay
// once more with all offloads off: what it does per MTU-size packet, as on a network card that can't offload tunnels.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inNamespace, Lab } from "../scripts/lab.mjs";
import { ROOT, run, StepError } from "../scripts/steps.mjs";
import { tunnelSubjects } from "./tunnels.mjs";

/**
 * @typedef {object} Subject
 * @property {string} key
 * @property {string} title
 * @property {string} client path of the namespace that sends
 * @property {string} server path of the namespace that is sent to
 * @property {string} address of the server
 * @property {number[]} daemons pids of the daemons that forward, none for the kernel's
 */

const VNI = 4242;
const ENCRYPTED_VNI = 4243;
const OVERLAY_MTU = 1450;
const KERNEL_VXLAN_PORT = 8472; // its own, so that captures of both can be told apart
const OFFLOADS = ["tso", "gso", "gro", "tx", "rx", "sg", "tx-udp-segmentation"];

export const lab = new Lab("weft-bench");

/** Runs a program in a namespace to its end. @param {string} short @param {string[]} argv */
const at = (short, argv) => run(inNamespace(lab.namespacePath(short), argv));

/** Several `ip` commands in one go, in a namespace. @param {string} short @param {string[]} lines */
const ip = (short, lines) => run(inNamespace(lab.namespacePath(short), ["ip", "-batch", "-"]), { input: `${lines.join("\n")}\n` });

/** @param {string} short */
export async function namespace(short) {
  await run(["ip", "netns", "add", `${lab.name}-${short}`]);
  // No router solicitations nor listener reports in between: the subjects' silence is measured too.
  await at(short, ["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"]);
  // A kernel with br_netfilter takes bridged frames through its firewall: it would lose a tenth of its rate for nothing.
  await at(short, ["sysctl", "-eqw", ...["ip", "ip6", "arp"].map((family) => `net.bridge.bridge-nf-call-${family}tables=0`)]);
  await ip(short, ["link set lo up"]);
  await useCubic(short);
}

const CONGESTION = "net.ipv4.tcp_congestion_control";
const ALLOWED = "net.ipv4.tcp_allowed_congestion_control";

/**
 * Every connection in the namespace begins as cubic. Choosing it afterwards (iperf3 does, when it has connected) is not enough on
 * a host whose default is BBR: what BBR set up, a timer that paces each frame, stays. A namespace may only choose what is allowed
 * to everybody, which cubic is for the moment that it takes.
 *
 * @param {string} short
 */
async function useCubic(short) {
  if ((await at(short, ["sysctl", "-n", CONGESTION])).trim() === "cubic") return;
  const allowed = (await run(["sysctl", "-n", ALLOWED])).trim();
  await run(["sysctl", "-qw", `${ALLOWED}=${allowed} cubic`]);
  try {
    await at(short, ["sysctl", "-qw", `${CONGESTION}=cubic`]);
  } finally {
    await run(["sysctl", "-qw", `${ALLOWED}=${allowed}`]);
  }
}

/** A veth between two namespaces. @param {string} a @param {string} aName @param {string} b @param {string} bName */
const veth = (a, aName, b, bName) =>
  run(["ip", "link", "add", aName, "netns", `${lab.name}-${a}`, "type", "veth", "peer", "name", bName, "netns", `${lab.name}-${b}`]);

/** Two hosts, joined: `<prefix>a` at .1 and `<prefix>b` at .2 of `net`. @param {string} prefix @param {string} net "10.210.0" */
async function twoHosts(prefix, net) {
  const [a, b] = [`${prefix}a`, `${prefix}b`];
  await namespace(a);
  await namespace(b);
  await veth(a, "underlay", b, "underlay");
  await ip(a, [`address add ${net}.1/24 dev underlay`, "link set underlay up"]);
  await ip(b, [`address add ${net}.2/24 dev underlay`, "link set underlay up"]);
}

/** A container on the kernel's bridge. @param {string} host @param {string} name @param {string} address @param {number} mtu */
async function kernelContainer(host, name, address, mtu) {
  await namespace(name);
  await veth(host, `to-${name}`, name, "eth0");
  await ip(host, [`link set to-${name} master bridge0 mtu ${mtu} up`]);
  await ip(name, [`address add ${address}/24 dev eth0`, `link set eth0 mtu ${mtu} up`]);
}

/** @param {string} prefix @param {string} net @param {boolean} offloads @returns {Promise<Subject>} */
async function kernelOverlay(prefix, net, offloads) {
  await twoHosts(prefix, net);
  for (const [side, own, other] of [
    ["a", 1, 2],
    ["b", 2, 1],
  ]) {
    const host = `${prefix}${side}`;
    await ip(host, [
      "link add bridge0 type bridge",
      "link set bridge0 up",
      `link add vxlan0 type vxlan id ${VNI} local ${net}.${own} remote ${net}.${other} dstport ${KERNEL_VXLAN_PORT} dev underlay`,
      `link set vxlan0 master bridge0 mtu ${OVERLAY_MTU} up`,
    ]);
    await kernelContainer(host, `${host}1`, `10.211.0.${own}`, OVERLAY_MTU);
    if (!offloads) {
      await offloadsOff(host, ["underlay", "vxlan0", `to-${host}1`]);
      await offloadsOff(`${host}1`, ["eth0"]);
    }
  }
  const path = (/** @type {string} */ side) => lab.namespacePath(`${prefix}${side}1`);
  const names = offloads
    ? { key: "kernel-vxlan", title: "kernel VXLAN" }
    : { key: "kernel-vxlan-plain", title: "kernel VXLAN, offloads off" };
  return { ...names, client: path("a"), server: path("b"), address: "10.211.0.2", daemons: [] };
}

/** @param {string} short @param {string[]} interfaces */
async function offloadsOff(short, interfaces) {
  for (const name of interfaces) {
    // One by one: an interface refuses what it does not have, and that is no reason to keep the rest.
    for (const feature of OFFLOADS) await at(short, ["ethtool", "-K", name, feature, "off"]).catch(() => {});
    const features = await at(short, ["ethtool", "-k", name]);
    if (/^(tcp-segmentation-offload|generic-segmentation-offload|generic-receive-offload): on/m.test(features)) {
      throw new StepError(`the offloads of ${name} can't be switched off`, features);
    }
  }
}

/** @returns {Promise<Subject>} */
async function kernelBridge() {
  await namespace("kl");
  await ip("kl", ["link add bridge0 type bridge", "link set bridge0 up"]);
  await kernelContainer("kl", "kl1", "10.212.0.1", 1500);
  await kernelContainer("kl", "kl2", "10.212.0.2", 1500);
  const [client, server] = [lab.namespacePath("kl1"), lab.namespacePath("kl2")];
  return { key: "kernel-bridge", title: "kernel bridge", client, server, address: "10.212.0.2", daemons: [] };
}

/** Runs the CLI against a host's daemon. @param {string} host @param {string[]} argv */
export const weft = (host, argv) => run([join(ROOT, "bin/weft"), "--socket", socketOf(host), ...argv]);

/** @param {string} host */
export const socketOf = (host) => join(lab.folder, host, "weft.sock");

/**
 * Starts a daemon and waits until it serves.
 *
 * @param {string} host
 * @param {string | null} underlay its address, null: none
 * @param {string[]} [more] flags
 */
export async function startDaemon(host, underlay, more = []) {
  const folder = join(lab.folder, host);
  mkdirSync(folder, { recursive: true });
  const log = join(folder, "daemon.log");
  const argv = [
    join(ROOT, "bin/weft"),
    "daemon",
    "--state-dir",
    join(folder, "state"),
    "--socket",
    socketOf(host),
    "--node-name",
    host,
    ...more,
  ];
  if (underlay !== null) argv.push("--underlay-address", underlay);
  const pid = lab.start(lab.namespacePath(host), argv, { log });
  try {
    await weft(host, ["status", "--wait", "15s"]);
  } catch (error) {
    throw new StepError(`the daemon of ${host} does not serve: ${/** @type {Error} */ (error).message}`, readFileSync(log, "utf8"));
  }
  return pid;
}

/**
 * @param {boolean} encrypted an encrypted network beside the plain one, between the same daemons
 * @returns {Promise<Subject[]>}
 */
async function weftSubjects(encrypted) {
  await twoHosts("w", "10.210.0");
  const daemons = [await startDaemon("wa", "10.210.0.1"), await startDaemon("wb", "10.210.0.2")];
  const keyFile = join(lab.folder, "pair.key");
  if (encrypted) writeFileSync(keyFile, await weft("wa", ["cluster", "keys", "new"]), { mode: 0o600 });
  for (const [side, other] of [
    ["a", 2],
    ["b", 1],
  ]) {
    const host = `w${side}`;
    const option = `com.docker.network.driver.overlay.vxlanid_list=${VNI}`;
    await weft(host, ["network", "create", "-d", "overlay", "--subnet", "10.213.0.0/24", "-o", option, "bench"]);
    await weft(host, ["peer", "add", ...(encrypted ? ["--key-file", keyFile] : []), `10.210.0.${other}`]);
    await namespace(`${host}1`);
    const attach = `bench,ip=10.213.0.${side === "a" ? 11 : 12}`;
    await weft(host, ["sandbox", "create", "--netns", lab.namespacePath(`${host}1`), "--network", attach, `${host}1`]);
    if (encrypted) await encryptedSandbox(host, side === "a" ? 11 : 12);
  }
  await weft("wa", ["network", "create", "-d", "bridge", "--subnet", "10.214.0.0/24", "bench-local"]);
  for (const [name, address] of [
    ["wa2", "10.214.0.11"],
    ["wa3", "10.214.0.12"],
  ]) {
    await namespace(/** @type {string} */ (name));
    const path = lab.namespacePath(/** @type {string} */ (name));
    await weft("wa", ["sandbox", "create", "--netns", path, "--network", `bench-local,ip=${address}`, /** @type {string} */ (name)]);
  }
  const path = lab.namespacePath.bind(lab);
  const secret = { key: "weft-encrypted", title: "Weft overlay, encrypted", address: "10.213.1.12" };
  return [
    { key: "weft-overlay", title: "Weft overlay", client: path("wa1"), server: path("wb1"), address: "10.213.0.12", daemons },
    ...(encrypted ? [{ ...secret, client: path("wa4"), server: path("wb4"), daemons }] : []),
    {
      key: "weft-bridge",
      title: "Weft bridge",
      client: path("wa2"),
      server: path("wa3"),
      address: "10.214.0.12",
      daemons: daemons.slice(0, 1),
    },
  ];
}

/** @param {string} host @param {number} last of its address */
async function encryptedSandbox(host, last) {
  const options = ["--opt", "encrypted", "-o", `com.docker.network.driver.overlay.vxlanid_list=${ENCRYPTED_VNI}`];
  await weft(host, ["network", "create", "-d", "overlay", "--subnet", "10.213.1.0/24", ...options, "bench-secret"]);
  await namespace(`${host}4`);
  const attach = `bench-secret,ip=10.213.1.${last}`;
  await weft(host, ["sandbox", "create", "--netns", lab.namespacePath(`${host}4`), "--network", attach, `${host}4`]);
}

const PUBLISHED = "5201"; // iperf3's
const BRIDGE = "bridge0";

/**
 * A client outside, a host that publishes a port, a server on its bridge. The kernel's host has the rules that Weft made in its
 * own: the same bridge name and addresses make them fit.
 *
 * @returns {Promise<Subject[]>}
 */
async function published() {
  for (const [host, out] of [
    ["wp", "wpo"],
    ["kp", "kpo"],
  ]) {
    await namespace(/** @type {string} */ (host));
    await namespace(/** @type {string} */ (out));
    await veth(/** @type {string} */ (host), "outside", /** @type {string} */ (out), "eth0");
    await ip(/** @type {string} */ (host), ["address add 10.217.0.1/24 dev outside", "link set outside up"]);
    await ip(/** @type {string} */ (out), ["address add 10.217.0.2/24 dev eth0", "link set eth0 up"]);
  }
  const daemon = await startDaemon("wp", null);
  const name = `com.docker.network.bridge.name=${BRIDGE}`;
  await weft("wp", ["network", "create", "--subnet", "10.218.0.0/24", "--ipv6=false", "-o", name, "bench"]);
  await namespace("wp1");
  const attach = ["--network", "bench,ip=10.218.0.2", "-p", `${PUBLISHED}:${PUBLISHED}`];
  await weft("wp", ["sandbox", "create", "--netns", lab.namespacePath("wp1"), ...attach, "wp1"]);

  await ip("kp", [`link add ${BRIDGE} type bridge`, `address add 10.218.0.1/24 dev ${BRIDGE}`, `link set ${BRIDGE} up`]);
  await kernelContainer("kp", "kp1", "10.218.0.2", 1500);
  await ip("kp1", ["route add default via 10.218.0.1"]);
  const rules = await at("wp", ["nft", "list", "table", "inet", "weft"]);
  await run(inNamespace(lab.namespacePath("kp"), ["nft", "-f", "-"]), { input: rules });
  await at("kp", ["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  const path = lab.namespacePath.bind(lab);
  const [weftHalf, kernelHalf] = [
    { key: "weft-published", title: "Weft, published port", client: path("wpo"), server: path("wp1"), daemons: [daemon] },
    { key: "kernel-published", title: "kernel bridge, same rules", client: path("kpo"), server: path("kp1"), daemons: [] },
  ];
  return [weftHalf, kernelHalf].map((half) => ({ ...half, address: "10.217.0.1" }));
}

/** Builds everything and checks that each way is open. @param {{ weft: boolean, published: boolean, encrypted: boolean }} options @returns {Promise<Subject[]>} */
export async function buildSubjects(options) {
  const subjects = [
    ...(options.weft ? await weftSubjects(options.encrypted) : []),
    await kernelOverlay("k", "10.215.0", true),
    await kernelOverlay("p", "10.216.0", false),
    await kernelBridge(),
    ...(options.published ? await published() : []),
    ...(options.encrypted ? await tunnelSubjects({ lab, twoHosts, ip, at }) : []),
  ];
  for (const subject of subjects) {
    await run(inNamespace(subject.client, ["ping", "-q", "-c", "2", "-i", "0.2", "-W", "2", subject.address])).catch((error) => {
      throw new StepError(`${subject.title}: ${subject.address} does not answer to ping`, error instanceof StepError ? error.output : "");
    });
  }
  return subjects;
}
