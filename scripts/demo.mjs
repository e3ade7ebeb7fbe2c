// `npm run demo`: two hosts made of network namespaces, a daemon on each, one overlay network across both, and what crosses
// it: ping, HTTP, TCP at speed. Prints every command that it types, then results and drop counters, then cleans up.
//
//   npm run demo -- --keep     leave everything standing and say how to enter
//   npm run demo -- --clean    remove what --keep, or a run that was killed, left
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { parseArgs } from "node:util";
import { build } from "./build.mjs";
import { inNamespace, Lab } from "./lab.mjs";
import { DEMO_PACKAGES, setup } from "./setup.mjs";
import { bold, cyan, dim, elapsed, green, ROOT, report, run, StepError, step } from "./steps.mjs";

const USAGE = "usage: npm run demo [-- --keep | --clean]";
const WEFT = join(ROOT, "bin/weft");
const NETWORK = "shop";
const SUBNET = "10.77.0.0/24";
const SUBNET6 = "fd77::/64";
const IPERF_SECONDS = 3;

/** @typedef {{ name: string, underlay: string, peer: string, range: string, range6: string, sandboxes: string[], pid: number }} Host */

// Each host hands out its own part of the subnet: without a cluster nobody tells one what the other has given away.
/** @type {[Host, Host]} */
const HOSTS = [
  { name: "a", underlay: "192.0.2.1", peer: "192.0.2.2", range: "10.77.0.64/26", range6: "fd77::a:0/112", sandboxes: ["a1", "a2"], pid: 0 },
  {
    name: "b",
    underlay: "192.0.2.2",
    peer: "192.0.2.1",
    range: "10.77.0.128/26",
    range6: "fd77::b:0/112",
    sandboxes: ["b1", "b2"],
    pid: 0,
  },
];
const [HOST_A, HOST_B] = HOSTS;

const lab = new Lab("weft-demo");
const socketOf = (/** @type {Host} */ host) => join(lab.folder, host.name, "weft.sock");
const logOf = (/** @type {Host} */ host) => join(lab.folder, host.name, "daemon.log");

/** @type {{ what: string, path: string, result: string }[]} */
const results = [];

/** One shell word. @param {string} text */
const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Prints a command as it would be typed. @param {string} prompt @param {string[]} argv @param {string} [end] */
function type(prompt, argv, end = "") {
  console.log(`${cyan(prompt)} ${bold(argv.map(quote).join(" ") + end)}`);
}

/** Types and runs a command of the machine that the hosts are made on. @param {string[]} argv */
function shell(...argv) {
  type("#", argv);
  return run(argv);
}

/** Types a command on a host and runs it in its namespace. @param {Host} host @param {string[]} argv */
function on(host, ...argv) {
  type(`${host.name}#`, argv);
  return run(inNamespace(lab.namespacePath(host.name), argv));
}

/** Types and runs a `weft` command against a host's daemon. @param {Host} host @param {string[]} argv */
function weft(host, ...argv) {
  type(`${host.name}#`, ["weft", ...argv]);
  return run([WEFT, "--socket", socketOf(host), ...argv]);
}

/** A server in a sandbox; it lives until the end of the demo. @param {Host} host @param {string} sandbox @param {string[]} argv */
function serve(host, sandbox, ...argv) {
  type(`${host.name}#`, ["weft", "sandbox", "exec", sandbox, "--", ...argv], " &");
  const log = join(lab.folder, host.name, `${sandbox}.log`);
  return lab.start(null, [WEFT, "--socket", socketOf(host), "sandbox", "exec", sandbox, "--", ...argv], { log });
}

/** Waits until something listens, told by a connection from inside the sandbox itself. @param {Host} host @param {string} sandbox @param {number} port */
async function listening(host, sandbox, port) {
  const probe = ["sandbox", "exec", sandbox, "--", "bash", "-c", `: </dev/tcp/127.0.0.1/${port}`];
  for (const deadline = Date.now() + 5000; ; await wait(100)) {
    try {
      return await run([WEFT, "--socket", socketOf(host), ...probe]);
    } catch (error) {
      if (Date.now() > deadline)
        throw new StepError(`nothing listens on port ${port} of sandbox ${sandbox}`, /** @type {StepError} */ (error).output);
    }
  }
}

/** @param {string} text */
const heading = (text) => console.log(`\n${bold(text)}`);
/** @param {string} text */
const show = (text) => console.log(dim(text.trimEnd().replace(/^/gm, "  ")));

async function makeHosts() {
  heading("Two hosts, joined by a link of MTU 1500");
  for (const host of HOSTS) await shell("ip", "netns", "add", `${lab.name}-${host.name}`);
  const end = (/** @type {Host} */ host) => ["underlay", "netns", `${lab.name}-${host.name}`];
  await shell("ip", "link", "add", ...end(HOST_A), "type", "veth", "peer", "name", ...end(HOST_B));
  for (const host of HOSTS) {
    await on(host, "ip", "link", "set", "lo", "up");
    await on(host, "ip", "address", "add", `${host.underlay}/24`, "dev", "underlay");
    await on(host, "ip", "link", "set", "underlay", "up");
  }
}

async function startDaemons() {
  heading("A daemon on each");
  for (const host of HOSTS) {
    const folder = join(lab.folder, host.name);
    mkdirSync(folder, { recursive: true });
    const argv = ["daemon", "--state-dir", join(folder, "state"), "--socket", socketOf(host), "--node-name", `host-${host.name}`];
    argv.push("--underlay-address", host.underlay);
    type(`${host.name}#`, ["weft", ...argv], " &");
    host.pid = lab.start(lab.namespacePath(host.name), [WEFT, ...argv], { log: logOf(host) });
  }
  for (const host of HOSTS) show(await weft(host, "status", "--wait", "15s"));
}

async function makeNetwork() {
  heading("One overlay network on both, two sandboxes on each");
  const vni = ["-o", "com.docker.network.driver.overlay.vxlanid_list=4097"];
  for (const host of HOSTS) {
    const addresses = ["--subnet", SUBNET, "--ip-range", host.range, "--ipv6", "--subnet", SUBNET6, "--ip-range", host.range6];
    await weft(host, "network", "create", "-d", "overlay", ...addresses, ...vni, NETWORK);
    await weft(host, "peer", "add", host.peer);
  }
  for (const host of HOSTS) {
    for (const sandbox of host.sandboxes) await weft(host, "sandbox", "create", "--network", NETWORK, sandbox);
  }
}

/** The address of a sandbox, as its own kernel has it. @param {Host} host @param {string} sandbox @param {4 | 6} family */
async function addressOf(host, sandbox, family) {
  const output = await run([
    WEFT,
    "--socket",
    socketOf(host),
    "sandbox",
    "exec",
    sandbox,
    "--",
    "ip",
    "-o",
    `-${family}`,
    "address",
    "show",
    "dev",
    "eth0",
    "scope",
    "global",
  ]);
  const address = /inet6? ([^/\s]+)/.exec(output)?.[1];
  if (!address) throw new StepError(`sandbox ${sandbox} has no IPv${family} address on eth0`, output);
  return address;
}

/** @param {Host} host @param {string} from @param {string} to @param {string} address @param {string} path */
async function ping(host, from, to, address, path) {
  const output = await weft(host, "sandbox", "exec", from, "--", "ping", "-c", "5", "-i", "0.2", "-W", "2", address);
  show(output);
  const loss = /([\d.]+)% packet loss/.exec(output)?.[1];
  const average = /= [\d.]+\/([\d.]+)\//.exec(output)?.[1];
  if (loss !== "0") throw new StepError(`ping from ${from} to ${to} lost ${loss} %`, output);
  results.push({
    what: `ping ${from} -> ${to} (${address.includes(":") ? "IPv6" : "IPv4"})`,
    path,
    result: `5 of 5 answered, ${average} ms on average`,
  });
}

/** @param {string} address */
async function http(address) {
  const program = "require('http').createServer((_, answer) => answer.end('hello from b2\\n')).listen(80)";
  serve(HOST_B, "b2", "node", "-e", program);
  await listening(HOST_B, "b2", 80);
  const output = await weft(
    HOST_A,
    "sandbox",
    "exec",
    "a2",
    "--",
    "curl",
    "-sS",
    "--max-time",
    "5",
    "-w",
    "%{http_code} in %{time_total} s\\n",
    `http://${address}/`,
  );
  show(output);
  if (!output.includes("hello from b2") || !output.includes("200 in")) throw new StepError("the HTTP answer is not b2's", output);
  results.push({ what: "HTTP a2 -> b2", path: "overlay", result: output.trim().split("\n").at(-1) ?? "" });
}

/** @param {Host} serverHost @param {string} to @param {string} address @param {string} path */
async function throughput(serverHost, to, address, path) {
  serve(serverHost, to, "iperf3", "-s", "-1");
  await wait(500); // a probe's connection would be taken for the client's
  const argv = ["iperf3", "-c", address, "-t", String(IPERF_SECONDS), "--connect-timeout", "3000", "-J"];
  const { end } = JSON.parse(await weft(HOST_A, "sandbox", "exec", "a1", "--", ...argv));
  const gbps = end.sum_received.bits_per_second / 1e9;
  if (!(gbps > 0)) throw new StepError(`no TCP payload went from a1 to ${to}`);
  show(`${gbps.toFixed(2)} Gbit/s, ${(end.sum_received.bytes / 1e9).toFixed(2)} GB in ${end.sum_received.seconds.toFixed(1)} s`);
  results.push({ what: `TCP a1 -> ${to}`, path, result: `${gbps.toFixed(2)} Gbit/s` });
}

async function showTraffic() {
  heading("Across the hosts: ping, HTTP, TCP");
  const [a2, b1, b2] = [await addressOf(HOST_A, "a2", 4), await addressOf(HOST_B, "b1", 4), await addressOf(HOST_B, "b2", 4)];
  await ping(HOST_A, "a1", "b1", b1, "overlay");
  await ping(HOST_A, "a1", "b1", await addressOf(HOST_B, "b1", 6), "overlay");
  await http(b2);
  await throughput(HOST_B, "b1", b1, "overlay");
  heading("On one host");
  await ping(HOST_A, "a1", "a2", a2, "one host");
  await throughput(HOST_A, "a2", a2, "one host");
}

async function showDrops() {
  heading("What was dropped, and why");
  for (const host of HOSTS) show(await weft(host, "drops"));
}

function showResults() {
  heading("Results");
  const width = (/** @type {"what" | "path"} */ key) => Math.max(...results.map((row) => row[key].length));
  for (const row of results) console.log(`  ${row.what.padEnd(width("what"))}   ${row.path.padEnd(width("path"))}   ${green(row.result)}`);
}

async function cleanUp() {
  heading("Cleaning up");
  for (const host of HOSTS) {
    await weft(host, "sandbox", "rm", "-f", ...host.sandboxes);
    await weft(host, "network", "rm", NETWORK);
    type("#", ["kill", String(host.pid)]);
    await lab.end(host.pid);
  }
  for (const name of lab.namespaces()) type("#", ["ip", "netns", "delete", name]);
  await lab.tearDown();
}

async function sayHowToEnter() {
  const b1 = await addressOf(HOST_B, "b1", 4);
  heading("Everything stands. To look around:");
  for (const host of HOSTS) console.log(`  alias weft-${host.name}='${WEFT} --socket ${socketOf(host)}'`);
  console.log(`
  weft-a status; weft-a network inspect ${NETWORK}; weft-a fdb ${NETWORK}; weft-a stats --watch
  weft-a sandbox exec -it a1 -- bash             ${dim("a shell in sandbox a1")}
  weft-a trace a1 ${b1.padEnd(30)} ${dim("one packet's way through the graph")}
  weft-a capture -w a1.pcapng a1                 ${dim("what crosses a1's interface, for tshark")}
  nsenter --net=${lab.namespacePath("a")} bash      ${dim("a shell on host a")}
  tail -f ${logOf(HOST_A)}

  npm run demo -- --clean                        ${dim("to remove it all")}`);
}

/** The daemons' last words, for a run that failed. */
function showLogs() {
  for (const host of HOSTS) {
    try {
      const lines = readFileSync(logOf(host), "utf8").trimEnd().split("\n").slice(-15);
      console.error(dim(`the daemon of host ${host.name} said last:\n  ${lines.join("\n  ")}`));
    } catch {
      // it was never started
    }
  }
}

function options() {
  try {
    return parseArgs({ options: { keep: { type: "boolean" }, clean: { type: "boolean" }, help: { type: "boolean" } } }).values;
  } catch (error) {
    console.error(`${/** @type {Error} */ (error).message}\n${USAGE}`);
    process.exit(2);
  }
}

const { keep, clean, help } = options();
if (help) {
  console.log(USAGE);
  process.exit(0);
}
if (clean) {
  try {
    await step("removing what an earlier demo left", async () => {
      await lab.claim();
      await lab.tearDown();
    });
    process.exit(0);
  } catch (error) {
    report(error);
    process.exit(1);
  }
}

let claimed = false;
try {
  await setup({ packages: DEMO_PACKAGES, privileged: true });
  await build();
  const started = performance.now();
  await lab.claim();
  claimed = true;
  console.log(`\n${cyan("#")} is this machine, ${cyan("a#")} and ${cyan("b#")} are two hosts on it, made of network namespaces.`);
  await makeHosts();
  await startDaemons();
  await makeNetwork();
  await showTraffic();
  await showDrops();
  if (keep) {
    showResults();
    await sayHowToEnter();
  } else {
    await cleanUp();
    showResults();
  }
  console.log(`\n${green("done")} ${dim(`in ${elapsed(started)}`)}`);
} catch (error) {
  // The signal's handler tears down, which made a step fail here, and ends the process.
  if (lab.interrupted) await new Promise(() => {});
  report(error);
  if (claimed) {
    showLogs();
    await lab.tearDown();
  }
  process.exit(1);
}
