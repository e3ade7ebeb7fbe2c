// /etc/resolv.conf, /etc/hosts and /etc/hostname of a sandbox: files in a folder of its own, which programs in the sandbox see
// in the place of the host's.
//
// They are bind-mounted, so they are written in place: a file renamed over one would not be seen. What somebody in the sandbox
// changed in one is theirs: resolv.conf and hostname are then left alone, and of hosts only the lines change that are ours.
// Beside each file is what we wrote last, to know. One that has grown past any use is theirs whole: it would be read and written at
// each change, by the thread that everybody waits for.
//
// They are a few hundred bytes and written synchronously: together some 0.3 ms, where a turn through Node's thread pool for each
// of a dozen calls costs several, and a sandbox is to be there in fifteen.
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { sandboxFilesPath } from "../config/defaults.ts";
import { cannotWrite } from "../errors.ts";
import { makeFolders } from "../paths.ts";
import type { EndpointRecord, ExtraHost, SandboxRecord } from "../records/records.ts";
import type { HostsLine } from "./names.ts";
import { formatResolvConf, type ResolvConf } from "./resolv-conf.ts";
import { isLoopback, RESOLVER_ADDRESS } from "./upstream.ts";

const WRITTEN = ".written";
const FOLDER_MODE = 0o755;
const FILE_MODE = 0o644;
const BYTES_MAX = 1024 * 1024;

/** Google's, as in Docker. */
const PUBLIC_SERVERS_IPV4 = ["8.8.8.8", "8.8.4.4"];
const PUBLIC_SERVERS_IPV6 = ["2001:4860:4860::8888", "2001:4860:4860::8844"];

const HOSTS_OF_ALL = [
  "127.0.0.1\tlocalhost",
  "::1\tlocalhost ip6-localhost ip6-loopback",
  "fe00::\tip6-localnet",
  "ff00::\tip6-mcastprefix",
  "ff02::1\tip6-allnodes",
  "ff02::2\tip6-allrouters",
];

/** The sandbox's options and search list, else the host's. ndots is 0 unless the user says otherwise: `web` is a whole name. */
export function sandboxResolvConf(dns: SandboxRecord["dns"], host: ResolvConf): string {
  const options = dns.options.length > 0 ? dns.options : host.options;
  const ndots = options.some((option) => option.startsWith("ndots:"));
  return formatResolvConf({
    servers: [RESOLVER_ADDRESS],
    // "." alone: no list, not even the host's.
    search: dns.search.length > 0 ? dns.search.filter((domain) => domain !== ".") : host.search,
    options: ndots ? options : [...options, "ndots:0"],
  });
}

/**
 * Of a sandbox that no names are answered for: who answers is named as he is. The host's own resolver on loopback is not there
 * inside, and where that was the only one Docker's public ones take its place.
 */
export function plainResolvConf(dns: SandboxRecord["dns"], host: ResolvConf, ipv6: boolean): string {
  const reached = host.servers.filter((server) => !isLoopback(server) && !server.includes("%") && (ipv6 || !server.includes(":")));
  const public6 = ipv6 ? PUBLIC_SERVERS_IPV6 : [];
  return formatResolvConf({
    servers: dns.servers.length > 0 ? dns.servers : reached.length > 0 ? reached : [...PUBLIC_SERVERS_IPV4, ...public6],
    search: dns.search.length > 0 ? dns.search.filter((domain) => domain !== ".") : host.search,
    options: dns.options.length > 0 ? dns.options : host.options,
  });
}

/** Of a sandbox on the host's stack, whose loopback is the host's: the host's, but for what was asked for. */
export function hostResolvConf({ servers, search, options }: SandboxRecord["dns"], host: ResolvConf): string {
  return formatResolvConf({
    servers: servers.length > 0 ? servers : host.servers,
    search: search.length > 0 ? search.filter((domain) => domain !== ".") : host.search,
    options: options.length > 0 ? options : host.options,
  });
}

/** `extra`: of the user; `links`: of others. Their lines come before its own, as in Docker. */
export function sandboxHosts(
  hostname: string,
  endpoints: readonly Pick<EndpointRecord, "ipv4" | "ipv6">[],
  links: readonly HostsLine[] = [],
  { domainname = "", extra = [] }: { readonly domainname?: string; readonly extra?: readonly ExtraHost[] } = {},
): string {
  const short = hostname.split(".")[0]!;
  const full = domainname === "" ? hostname : `${hostname}.${domainname}`;
  const names = short === full ? full : `${full} ${short}`;
  const own = endpoints.map(({ ipv4, ipv6 }) => ({ ipv4, ipv6, names: [names] }));
  const lines = [...links, ...own].flatMap((one) =>
    [one.ipv4, one.ipv6]
      .filter((address) => address !== null)
      .map((address) => `${address.slice(0, address.indexOf("/"))}\t${one.names.join(" ")}`),
  );
  return text([...HOSTS_OF_ALL, ...extra.map(({ name, address }) => `${address}\t${name}`), ...lines]);
}

/** `current`, where `before` is what we wrote last, so that it holds `wanted`; the lines of others stay. */
export function mergeLines(current: string, before: string, wanted: string): string {
  const [old, fresh] = [lines(before), lines(wanted)];
  const kept = lines(current).filter((line) => fresh.includes(line) || !old.includes(line));
  return text([...kept, ...fresh.filter((line) => !kept.includes(line))]);
}

const lines = (content: string): string[] => content.split("\n").slice(0, content.endsWith("\n") ? -1 : undefined);
const text = (content: readonly string[]): string => content.map((line) => `${line}\n`).join("");

/** Null: the sandbox has none of its own. */
export interface FileContents {
  readonly resolvConf: string | null;
  readonly hosts: string | null;
  readonly hostname: string | null;
}

export class SandboxFiles {
  readonly #stateDir: string;
  readonly #warn: (message: string) => void;
  /** Sandboxes whose hosts file is too large, which was said. */
  readonly #large = new Set<string>();

  constructor(stateDir: string, warn: (message: string) => void = () => {}) {
    this.#stateDir = stateDir;
    this.#warn = warn;
  }

  async write(sandboxId: string, contents: FileContents): Promise<void> {
    const folder = sandboxFilesPath(this.#stateDir, sandboxId);
    const unlessEdited = (current: string): string => current;
    try {
      makeFolders(folder, FOLDER_MODE);
      if (contents.resolvConf !== null) bring(join(folder, "resolv.conf"), contents.resolvConf, unlessEdited);
      if (contents.hostname !== null) bring(join(folder, "hostname"), contents.hostname, unlessEdited);
      if (contents.hosts !== null)
        this.#noteLarge(sandboxId, join(folder, "hosts"), bring(join(folder, "hosts"), contents.hosts, mergeLines));
    } catch (error) {
      throw cannotWrite(folder, error);
    }
  }

  #noteLarge(sandboxId: string, path: string, written: boolean): void {
    if (written) this.#large.delete(sandboxId);
    else if (!this.#large.has(sandboxId)) {
      this.#large.add(sandboxId);
      this.#warn(
        `${path} has grown to more than ${BYTES_MAX} bytes in the sandbox: it is left as it is, and names the addresses of before`,
      );
    }
  }

  /** Whether `write` ever began. */
  has(sandboxId: string): boolean {
    return existsSync(sandboxFilesPath(this.#stateDir, sandboxId));
  }

  /** A missing folder is fine. */
  async remove(sandboxId: string): Promise<void> {
    const folder = sandboxFilesPath(this.#stateDir, sandboxId);
    this.#large.delete(sandboxId);
    try {
      rmSync(folder, { recursive: true, force: true });
    } catch (error) {
      throw cannotWrite(folder, error);
    }
  }

  /** Removes those of sandboxes that are not among `known`. */
  async prune(known: ReadonlySet<string>): Promise<void> {
    const names = await readdir(dirname(sandboxFilesPath(this.#stateDir, "any"))).catch(() => []);
    for (const name of names) if (!known.has(name)) await this.remove(name);
  }
}

/** False: it is too large to be looked at. */
function bring(path: string, wanted: string, edited: (current: string, before: string, wanted: string) => string): boolean {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > BYTES_MAX) return false;
  const [current, before] = [read(path), read(path + WRITTEN)];
  // An empty file is what a crash between opening and writing leaves.
  const ours = current === "" || current === before || current === wanted;
  const content = ours ? wanted : edited(current, before, wanted);
  if (content !== current) writeFileSync(path, content, { mode: FILE_MODE });
  if (before !== wanted) writeFileSync(path + WRITTEN, wanted, { mode: FILE_MODE });
  return true;
}

/** "" if there is none. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
