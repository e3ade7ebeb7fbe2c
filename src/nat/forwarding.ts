// The kernel's switches that routing for sandboxes needs. Forwarding is switched on when the first network wants it, and back
// to what it was when no network does any more; what it was is kept in a file of the state directory from before the change,
// so that a crash forgets nothing. The file speaks of one life of the switches: a host that has booted since, or a daemon in
// another network namespace, has them as somebody else set them.
//
//   net.ipv4.ip_forward, net.ipv6.conf.all.forwarding           whole host
//   net.ipv4.conf.<gateway>.route_localnet                      our own interfaces; goes with them
//   net.ipv6.conf.<interface>.accept_ra  1 -> 2                 or the host would forget the routes that it has from routers
import { constants, existsSync, openSync, readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cannotWrite, unavailable } from "../errors.ts";
import type { Closed } from "./rules.ts";

const FILE = "forwarding.json";
const IPV4 = "ipv4/ip_forward";
const IPV6 = "ipv6/conf/all/forwarding";
const ACCEPT_ALWAYS = "2";

const path = (name: string): string => `/proc/sys/net/${name}`;

/**
 * Folders of families, looked up once: the kernel has those of all namespaces in one list, of all sandboxes that is. Among 500
 * it takes half a millisecond to go through, each time.
 */
const folders = new Map<string, number>();

/** The same by a family's folder that is open. Throws if the kernel lacks the family. */
function quickPath(name: string): string {
  const [family = "", ...rest] = name.split("/");
  const folder = folders.get(family) ?? openSync(path(family), constants.O_RDONLY | constants.O_DIRECTORY);
  folders.set(family, folder);
  return `/proc/self/fd/${folder}/${rest.join("/")}`;
}

function read(name: string): string | null {
  try {
    return readFileSync(quickPath(name), "utf8").trim();
  } catch {
    return null; // no such family, no such interface
  }
}

function write(name: string, value: string): void {
  try {
    writeFileSync(quickPath(name), value);
  } catch (error) {
    throw unavailable(
      `cannot set net.${name.replaceAll("/", ".")} to ${value}: ${(error as Error).message}: is /proc/sys mounted read-only?`,
    );
  }
}

/** Names the life of the switches. */
const life = (): string => `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${readlinkSync("/proc/self/ns/net")}`;

interface Kept {
  readonly life: string;
  /** name -> what it was */
  readonly before: Record<string, string>;
}

export class Forwarding {
  readonly #file: string;
  /** name -> what it was */
  #before: Record<string, string>;

  constructor(stateDir: string) {
    this.#file = join(stateDir, FILE);
    this.#before = this.#load();
  }

  /** Families that forwarded nothing before us. */
  closed(wanted: Closed): Closed {
    return {
      ipv4: wanted.ipv4 && (this.#before[IPV4] ?? read(IPV4)) === "0",
      ipv6: wanted.ipv6 && (this.#before[IPV6] ?? read(IPV6)) === "0",
    };
  }

  /** On for the families that `wanted` says, as it was for the others. */
  set(wanted: Closed): void {
    const changes: [string, string][] = [];
    const undo: string[] = [];
    for (const [name, on] of [
      [IPV4, wanted.ipv4],
      [IPV6, wanted.ipv6],
    ] as const) {
      if (!on) undo.push(name);
      else if (read(name) === "0") changes.push([name, "1"]);
    }
    // Before forwarding goes on: that is what makes the kernel forget.
    if (changes.some(([name]) => name === IPV6)) changes.unshift(...this.#routers());
    if (!wanted.ipv6) undo.push(...Object.keys(this.#before).filter((name) => name.endsWith("/accept_ra")));
    if (changes.length > 0) {
      for (const [name] of changes) this.#before[name] ??= read(name) ?? "0";
      this.#save();
      for (const [name, value] of changes) write(name, value);
    }
    const mine = undo.filter((name) => this.#before[name] !== undefined);
    for (const name of mine) {
      if (read(name) !== null) write(name, this.#before[name]!);
      delete this.#before[name];
    }
    if (mine.length > 0) this.#save();
  }

  /** Families that do not forward, though they shall. */
  off(wanted: Closed): boolean {
    return (wanted.ipv4 && read(IPV4) === "0") || (wanted.ipv6 && read(IPV6) === "0");
  }

  /** All of it as it was; false if nothing was changed. */
  restore(): boolean {
    if (Object.keys(this.#before).length === 0) return false;
    this.set({ ipv4: false, ipv6: false });
    return true;
  }

  /** For an interface of ours. Missing ones are fine: they get it when they are there. */
  routeLocalnet(interfaceName: string): void {
    const name = `ipv4/conf/${interfaceName}/route_localnet`;
    if (read(name) === "0") write(name, "1");
  }

  #routers(): [string, string][] {
    const folder = path("ipv6/conf");
    if (!existsSync(folder)) return [];
    const names = readdirSync(folder).map((one) => `ipv6/conf/${one}/accept_ra`);
    return names.filter((name) => read(name) === "1").map((name) => [name, ACCEPT_ALWAYS]);
  }

  #load(): Record<string, string> {
    try {
      const kept = JSON.parse(readFileSync(this.#file, "utf8")) as Kept;
      return kept.life === life() ? kept.before : {};
    } catch {
      return {}; // none yet; a damaged one tells nothing, and forwarding then stays as it is
    }
  }

  #save(): void {
    if (Object.keys(this.#before).length === 0) {
      rmSync(this.#file, { force: true });
      return;
    }
    try {
      writeFileSync(`${this.#file}.new`, JSON.stringify({ life: life(), before: this.#before } satisfies Kept));
      renameSync(`${this.#file}.new`, this.#file);
    } catch (error) {
      throw cannotWrite(this.#file, error);
    }
  }
}
