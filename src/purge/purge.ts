// `weft daemon --purge`: takes from the host everything that daemons of this state directory have put there, whatever state it
// is in. Nothing is asked of a daemon; one that runs is a reason to refuse, for it would put back what is taken.
//
//   forwarding and accept_ra as they were ─> interfaces in users' namespaces ─> sandboxes' namespaces ─> gateways' interfaces
//   ─> nftables table ─> socket ─> state directory
//
// The state directory goes last: what fails on the way can be tried again with what it knows. Programs that run in sandboxes are
// not ended: they are told of, and lose their interfaces.
import { existsSync, lstatSync, readdirSync, readFileSync, rmdirSync, rmSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join, resolve } from "node:path";
import { DEFAULT_SOCKET } from "../config/defaults.ts";
import { DNS_TABLE } from "../dns/dns.ts";
import { forbidden } from "../errors.ts";
import { Forwarding } from "../nat/forwarding.ts";
import { Nft } from "../nat/nft.ts";
import { NO_RULES, TABLE } from "../nat/rules.ts";
import { abandoned } from "../netns/host.ts";
import type { Native } from "../ports/native.ts";
import { knownTo } from "./known.ts";

export interface PurgeOptions {
  readonly stateDir: string;
  readonly socket: string;
  readonly native: Native;
  /** A line for each thing that is gone, or that could not be taken. */
  readonly say: (line: string) => void;
}

/** Answers whether all of it is gone. Throws FORBIDDEN while a daemon runs. */
export async function purge(options: PurgeOptions): Promise<boolean> {
  const { stateDir, socket, native } = options;
  // Held to the end, so that no daemon starts meanwhile.
  const lock = existsSync(stateDir) ? native.lockFile(join(stateDir, "lock")) : undefined;
  if (lock === null) {
    const pid = readFileSync(join(stateDir, "lock"), "utf8").trim();
    throw forbidden(`a weft daemon (pid ${pid}) uses state directory ${stateDir}: stop it first`);
  }
  try {
    if (await answers(socket)) throw forbidden(`a weft daemon serves on ${socket}: stop it first, or give its --socket and --state-dir`);
    return await purgeLocked(options);
  } finally {
    if (lock !== undefined) await native.closeFd(lock);
  }
}

async function purgeLocked({ stateDir, socket, native, say }: PurgeOptions): Promise<boolean> {
  let whole = true;
  const step = async (what: string, work: () => unknown): Promise<void> => {
    try {
      if ((await work()) === false) return;
      say(`removed ${what}`);
    } catch (error) {
      whole = false;
      say(`could not remove ${what}: ${(error as Error).message}`);
    }
  };

  const nft = new Nft(native);
  const rules = await nft.listTable().catch(() => "");
  const links = await native.links(null);
  const { gateways, foreign, damage } = await knownTo(stateDir, links, rules);
  if (damage !== null) say(`the store can't be read (${damage}): going by what the kernel has`);

  await step("the switches of forwarding: as they were before", () => new Forwarding(stateDir).restore());
  for (const { namespacePath, interfaceNames } of foreign) {
    if (native.namespaceInode(namespacePath) === null) continue;
    for (const name of interfaceNames) await step(`interface ${name} in ${namespacePath}`, () => native.deleteLink(namespacePath, name));
    await step(`name service in ${namespacePath}`, () => native.removeLoopbackService(namespacePath, DNS_TABLE));
  }
  for (const path of namespacesIn(join(stateDir, "netns"))) {
    const isNamespace = native.namespaceInode(path) !== null;
    if (isNamespace && abandoned([path]).length === 0) {
      // It lives on with them, so what is ours in it has to be taken one by one.
      say(`programs still run in ${path}: they are left without a network, end them`);
      const taps = (await native.links(path)).filter(({ kind }) => kind === "tun");
      for (const { name } of taps) await step(`interface ${name} in ${path}`, () => native.deleteLink(path, name));
    }
    await step(`network namespace ${path}`, () => (isNamespace ? native.deleteNamespace(path) : unlinkSync(path)));
  }
  for (const name of gateways) await step(`interface ${name}`, () => native.deleteLink(null, name));
  // Behind the interfaces: where the store is damaged it is what tells which are ours, to the next purge too if this one is killed.
  await step(`nftables table ${TABLE}`, () => (rules === "" ? false : nft.apply(NO_RULES)));
  await step(`socket ${socket}`, () => removeSocket(socket));
  if (whole) await step(`state directory ${stateDir}`, () => removeFolder(stateDir));
  else say(`the state directory ${stateDir} is kept: run this again`);
  return whole;
}

function answers(path: string): Promise<boolean> {
  return new Promise((done) => {
    const client = connect(path);
    client.once("connect", () => {
      client.destroy();
      done(true);
    });
    client.once("error", () => done(false));
  });
}

function namespacesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
}

/** False: there is none. */
function removeSocket(path: string): boolean {
  const there = lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true;
  if (there) rmSync(path);
  // Its folder is ours where it is the default's, and empty; a daemon that was stopped has taken the socket itself.
  const folder = dirname(path);
  if (path === DEFAULT_SOCKET && existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
  return there;
}

/** False: there is none. A folder that something is mounted on is emptied. */
function removeFolder(path: string): boolean {
  if (!existsSync(path)) return false;
  const mounts = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => line.split(" ")[4] ?? []);
  const whole = resolve(path);
  const inside = mounts.find((mount) => mount.startsWith(`${whole}/`));
  if (inside !== undefined) throw new Error(`${inside} is mounted in it: unmount that`);
  if (!mounts.includes(whole)) rmSync(whole, { recursive: true });
  else for (const name of readdirSync(whole)) rmSync(join(whole, name), { recursive: true });
  return true;
}
