// What the daemon needs of the host before it starts, and what to do where it lacks it. Each check is one that would
// otherwise come back later as an errno in the middle of a user's command.
import { accessSync, closeSync, constants, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { invalidArgument, unavailable, WeftError } from "../errors.ts";
import { native } from "../ports/native.ts";

const TUN = "/dev/net/tun";

/** capabilities(7): numbers in the sets of /proc/self/status. */
const NEEDED = [
  ["CAP_NET_ADMIN", 12n, "TAPs, links, addresses, routes"],
  ["CAP_SYS_ADMIN", 21n, "entering and mounting network namespaces"],
] as const;

/** Throws PERMISSION_DENIED naming the capability that is missing. */
export function checkPrivileges(): void {
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"));
  const effective = BigInt(`0x${line?.[1] ?? "0"}`);
  for (const [name, bit, purpose] of NEEDED) {
    if ((effective >> bit) & 1n) continue;
    const who = process.getuid?.() === 0 ? "this root lacks it, as in an unprivileged container: add the capability" : "run it as root";
    throw new WeftError("PERMISSION_DENIED", `weft daemon needs ${name} (for ${purpose}): ${who}`);
  }
}

/** Throws if TAPs can't be made. */
export function checkTun(): void {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
    closeSync(openSync(TUN, "r+"));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      const make = `mkdir -p /dev/net && mknod ${TUN} c 10 200 && chmod 0600 ${TUN}`;
      throw unavailable(`${TUN} is missing: \`modprobe tun\` makes it, or \`${make}\``);
    }
    if (code === "ENODEV" || code === "ENXIO") throw unavailable(`${TUN} has no driver: \`modprobe tun\` loads it (${message})`);
    throw new WeftError("PERMISSION_DENIED", `${TUN} can't be opened: ${message}; run as root, or \`chmod 0666 ${TUN}\``);
  }
}

/**
 * The smallest MTU of the interfaces that have these addresses: what an encapsulated frame must fit. 1500 without any.
 * Throws INVALID_ARGUMENT for an address that this host does not have.
 */
export async function underlayMtu(underlayAddresses: readonly string[]): Promise<number> {
  if (underlayAddresses.length === 0) return 1500;
  const [addresses, links] = await Promise.all([native().addresses(null), native().links(null)]);
  const mtus = underlayAddresses.map((wanted) => {
    const owner = addresses.find(({ address }) => address === wanted);
    if (owner === undefined) {
      const there = addresses.map(({ address }) => address).filter((address) => !/^(127\.|::1$|fe80:)/.test(address));
      const choice = there.length === 0 ? "it has none but loopback's" : `it has ${there.join(", ")}`;
      throw invalidArgument(`underlay address ${wanted} is not an address of this host: ${choice}`);
    }
    return links.find(({ name }) => name === owner.interfaceName)?.mtuBytes ?? 1500;
  });
  return Math.min(...mtus);
}

/** Network namespaces, as "net:[4026531840]", that some process is in. */
function occupied(): Set<string> {
  const found = new Set<string>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      found.add(readlinkSync(`/proc/${name}/ns/net`));
    } catch {
      // It ended meanwhile, or is not ours to look at.
    }
  }
  return found;
}

/** The namespaces among these paths in which no process runs; those that are gone count. */
export function abandoned(paths: readonly string[]): string[] {
  const inUse = occupied();
  return paths.filter((path) => !inUse.has(`net:[${native().namespaceInode(path)}]`));
}
