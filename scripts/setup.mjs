// What a fresh Debian machine lacks, put there: packages, node_modules. Everything is looked at first and done only when
// missing, so that a second run takes no time and needs no network. Node's own modules only.
//
// Checked, never mended: Node's version, root, /dev/net/tun, cargo. Each has a message that says what to do.
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { guestKernel } from "./guest-kernel.mjs";
import { ROOT, run, StepError, step } from "./steps.mjs";

const NODE_MIN = [20, 19];

// package -> a program that proves it is there, or null: ask dpkg. A tool installed by other means is good enough.
/** @type {Record<string, string | null>} */
const BUILD_PACKAGES = {
  gcc: "cc", // cargo links with it
  "libc6-dev": null,
};

/** @type {Record<string, string | null>} */
export const DEMO_PACKAGES = {
  iproute2: "ip",
  "util-linux": "nsenter",
  "iputils-ping": "ping",
  iperf3: "iperf3",
  curl: "curl",
  nftables: "nft", // the daemon itself runs it, for bridge networks
};

/** @type {Record<string, string | null>} */
export const BENCH_PACKAGES = {
  iproute2: "ip",
  "util-linux": "nsenter",
  "iputils-ping": "ping",
  iperf3: "iperf3",
  ethtool: "ethtool",
  procps: "sysctl",
  nftables: "nft",
};

/** @type {Record<string, string | null>} */
export const TEST_PACKAGES = {
  ...DEMO_PACKAGES,
  ...BENCH_PACKAGES,
  tcpdump: "tcpdump", // captures a link
  tshark: "tshark", // decodes captures: the oracle of the interop tests
  "bind9-dnsutils": "dig", // asks the embedded DNS
  openssl: "openssl", // certificates of plugins
  "python3-protobuf": null, // reads the descriptors that reflection gives, as strictly as protoc
  "python3-scapy": null, // builds frames that no code of ours built
  "qemu-system-x86": "qemu-system-x86_64", // a machine whose kernel has ESP, without /dev/kvm
  "busybox-static": "busybox", // its first program
};

/** @param {string} program */
function onPath(program) {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    if (!folder) continue;
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      // not here
    }
  }
  return false;
}

/** @param {string} name */
async function installed(name) {
  try {
    return (await run(["dpkg-query", "-s", name])).includes("\nStatus: install ok installed\n");
  } catch {
    return false;
  }
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [wantMajor = 0, wantMinor = 0] = NODE_MIN;
  if (major < wantMajor || (major === wantMajor && minor < wantMinor)) {
    throw new StepError(`Node ${process.versions.node} is too old: Weft needs ${NODE_MIN.join(".")} or newer (20, 22 and 24 are tested)`);
  }
  return `Node ${process.versions.node}`;
}

function checkCargo() {
  if (onPath("cargo")) return "cargo is there";
  throw new StepError(
    "cargo is missing: the native addon is written in Rust. Install it by `apt-get install cargo` or from https://rustup.rs",
  );
}

function checkRoot() {
  if (process.getuid?.() === 0) return "root";
  throw new StepError("not root: network namespaces and TAP devices need it. Run the command again with sudo");
}

function checkTun() {
  const device = "/dev/net/tun";
  if (!existsSync(device)) {
    throw new StepError(
      `${device} is missing: load it by \`modprobe tun\`, or make it by \`mkdir -p /dev/net && mknod ${device} c 10 200\`; in a container, start that with --device ${device} --cap-add NET_ADMIN --cap-add SYS_ADMIN`,
    );
  }
  try {
    closeSync(openSync(device, "r+"));
  } catch (error) {
    throw new StepError(
      `${device} can't be opened (${/** @type {Error} */ (error).message}): the kernel lacks the tun module, or a container's device rules forbid it`,
    );
  }
  return device;
}

/** @param {Record<string, string | null>} packages */
async function debianPackages(packages) {
  const missing = [];
  for (const [name, program] of Object.entries(packages)) {
    if (!(program === null ? await installed(name) : onPath(program))) missing.push(name);
  }
  if (missing.length === 0) return null;
  const wanted = missing.join(" ");
  if (!onPath("apt-get")) throw new StepError(`these Debian packages, or what your system calls them, are missing: ${wanted}`);
  if (process.getuid?.() !== 0) throw new StepError(`these packages are missing: install them by \`sudo apt-get install ${wanted}\``);
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  try {
    await run(["apt-get", "-q", "update"], { env });
    await run(["apt-get", "-q", "-y", "install", "--no-install-recommends", ...missing], { env });
  } catch (error) {
    const output = error instanceof StepError ? error.output : "";
    throw new StepError(`apt-get could not install ${wanted}. Is the network reachable? Install them by hand and run again`, output);
  }
  return `installed ${wanted}`;
}

/**
 * Whether node_modules holds exactly what package-lock.json asks for. npm keeps a lock of what it installed; times would
 * mislead, because a git checkout touches package-lock.json without changing it.
 */
function nodeModulesMatch() {
  const read = (/** @type {string} */ path) => JSON.parse(readFileSync(join(ROOT, path), "utf8")).packages;
  if (!existsSync(join(ROOT, "node_modules/.package-lock.json"))) return false;
  const wanted = read("package-lock.json");
  const there = read("node_modules/.package-lock.json");
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === "") continue;
    const found = there[path];
    if (found ? found.version !== entry.version || found.integrity !== entry.integrity : !entry.optional) return false;
  }
  return Object.keys(there).every((path) => path in wanted);
}

async function nodeModules() {
  if (nodeModulesMatch()) return null;
  if (!onPath("npm")) throw new StepError("npm is missing: it installs what package-lock.json lists. Install it by `apt-get install npm`");
  try {
    // Without a network npm would try for ten minutes before it says so.
    await run(["npm", "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-retry-mintimeout=2000"]);
  } catch (error) {
    const output = error instanceof StepError ? error.output : "";
    throw new StepError("`npm ci` failed. Is the network reachable, and does package-lock.json match package.json?", output);
  }
  return undefined;
}

/**
 * @param {{ packages?: Record<string, string | null>, privileged?: boolean, guest?: boolean }} [needs] Debian packages beside
 *   the compiler, whether namespaces and TAPs will be made, and whether a virtual machine will be started.
 */
export async function setup(needs = {}) {
  await step("Node", checkNode);
  await step("Rust", checkCargo);
  if (needs.privileged) {
    await step("privileges", checkRoot);
    await step("TUN/TAP", checkTun);
  }
  await step("Debian packages", () => debianPackages({ ...BUILD_PACKAGES, ...needs.packages }));
  await step("npm packages", nodeModules);
  if (needs.guest) await step("a kernel for the tests' virtual machine", guestKernel);
}
