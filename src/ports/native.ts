// The native addon as the rest of the product sees it: system calls and ciphers only. This is the contract; native/ implements it with
// napi-rs and this module loads it and nothing else does (test/unit/imports.test.ts holds that).
//
// Every failure is an Error whose message names call, object and errno: `TUNSETIFF eth0 in /run/netns/a: EBUSY (Device or
// resource busy)`, with `.code` the errno's name ("EBUSY"), `.errno` its number (positive, as in os.constants.errno) and
// `.syscall` the call.
//
// Calls that touch another namespace run on a thread of their own (setns there, never on a thread of Node's) and return
// promises. A namespace is the path of an nsfs file, or null for the daemon's own.
import { createRequire } from "node:module";
import { unavailable } from "../errors.ts";
import { ADDON_PATH } from "../paths.ts";

export interface LinkInfo {
  index: number;
  name: string;
  /** "02:42:ac:11:00:02", or "" for links without one. */
  mac: string;
  mtuBytes: number;
  txQueueLength: number;
  up: boolean;
  running: boolean;
  /** "tun", "veth", "bridge", ... as the kernel's link info says; "" for none. */
  kind: string;
}

export interface AddressInfo {
  interfaceName: string;
  /** "10.0.0.1" */
  address: string;
  prefixLength: number;
}

export interface RouteInfo {
  /** "10.0.0.0/16", "default" is "0.0.0.0/0" or "::/0". */
  destination: string;
  gateway: string | null;
  interfaceIndex: number | null;
  metric: number | null;
}

/** One interface's whole configuration; applied in one namespace visit, idempotent. */
export interface InterfaceConfig {
  name: string;
  /** Rename to this after the other settings, if given. */
  rename?: string;
  mac?: string;
  mtuBytes?: number;
  txQueueLength?: number;
  /** "10.0.0.2/24": all that it shall have; addresses of global scope not listed are removed. IPv6 ones get NODAD. */
  addresses?: string[];
  up?: boolean;
  /** Routes to be added (replaced if there) once it is up. */
  routes?: { destination: string; gateway?: string; metric?: number }[];
}

export interface TapOptions {
  namespace: string | null;
  name: string;
  /** Keep the interface when the fd closes (TUNSETPERSIST), so that the next daemon can attach to it again. */
  persist: boolean;
  /** With all offloads: vnet_hdr of 10 bytes, CSUM|TSO4|TSO6|USO4|USO6. False: vnet_hdr but no offload is asked for. */
  offloads: boolean;
}

/** What the interface has already is left alone. */
export interface LinkSettings {
  mac?: string;
  mtuBytes?: number;
  txQueueLength?: number;
}

export interface UdpOptions {
  namespace: string | null;
  /** Address to bind; "0.0.0.0" or "::" for any. An IPv6 socket takes IPv6 only, and datagrams without a checksum too. */
  address: string;
  port: number;
  /** UDP_GRO on. */
  gro: boolean;
  /** IP_PKTINFO / IPV6_RECVPKTINFO: the poller notes which address a datagram reached. */
  packetInfo: boolean;
  reusePort: boolean;
  receiveBufferBytes: number;
  sendBufferBytes: number;
}

export interface RawOptions {
  namespace: string | null;
  /** Address to bind. */
  address: string;
  /** IP's number. What an IPv4 socket receives begins with the IP header. */
  protocol: number;
  receiveBufferBytes: number;
  sendBufferBytes: number;
}

export interface TooBigOptions {
  namespace: string | null;
  /** Address to bind. */
  address: string;
  receiveBufferBytes: number;
}

export interface PacketOptions {
  namespace: string | null;
  /** The interface. */
  name: string;
  receiveBufferBytes: number;
  sendBufferBytes: number;
}

/** Which frames a packet socket lets in besides groups; the differences are told as well, for the kernel counts memberships. */
export interface PacketListening {
  macs: string[];
  add: string[];
  remove: string[];
  promiscuous: boolean;
  wasPromiscuous: boolean;
}

/** Where things are in the engine's memory; checked against the memory's length at attach. */
export interface PollerLayout {
  rxRing: number;
  rxRingCount: number;
  txRing: number;
  txRingCount: number;
  iovecs: number;
  iovecCount: number;
  arena: number;
  arenaBytes: number;
  headroomBytes: number;
  tailroomBytes: number;
  perTap: number;
  perUnderlay: number;
  batchBytes: number;
}

export interface PollerStats {
  polls: number;
  sleeps: number;
  spinUs: number;
  wakes: number;
  receiveCalls: number;
  sendCalls: number;
  /** read/recvmmsg errors other than EAGAIN, by errno name. */
  receiveErrors: Record<string, number>;
  sendErrors: Record<string, number>;
}

/**
 * One poller a worker thread; used by that thread alone, but for `wake`, which any thread may call through the eventfd.
 * A thread asleep in `poll` can't be terminated from outside: wake it and let it end. Collected, it closes all it owns.
 */
export interface Poller {
  /** The eventfd; `wake(fd)` of the module ends a sleep of `poll`. */
  readonly wakeFd: number;
  /** Points the poller at the engine's memory. Keeps a reference, so that it can't be collected. Call again after a rebuild. */
  attach(memory: Uint8Array, layout: PollerLayout): void;
  /**
   * From here on frames of this fd arrive as `port`, by a duplicate of the poller's: the fd stays the caller's to close, after
   * `remove` or `release`, or when the poller's thread has died. It is made non-blocking. An open TAP keeps its namespace alive, so deleting that one's path does not make the port fail.
   */
  addTap(port: number, fd: number): void;
  /** The same for a socket of openPacket. */
  addPacket(port: number, fd: number): void;
  /**
   * `fds[0]` receives; the others send, chosen by the descriptor's socket field modulo their number. A lone one does both. One
   * address family a port; link-local peers can't be named (no scope id).
   */
  addUdp(port: number, fds: number[]): void;
  /** A socket that has something so seldom that only epoll is asked about it: it costs the other ports' turns nothing. */
  addQuiet(port: number, fd: number): void;
  /** Stops polling `port` (none: fine); resolves once its duplicates are closed (on a thread: a TAP's last close can take 16 ms). */
  remove(port: number): Promise<void>;
  /** Like remove, at once, of a port whose fds the caller still has: closing duplicates does not wait. */
  release(port: number): void;
  /**
   * Fills the receive ring: tries at once, spins up to the spin time while traffic was recent, then sleeps up to `timeoutMs`.
   * Returns descriptors filled; 0 after a timeout or a wake. Ports that fail for good (EBADFD) are muted and reported by `failed`.
   */
  poll(timeoutMs: number): number;
  /** True once after a wake: the caller has messages to read. Until it was asked after a wake, `poll` does not sleep. */
  woken(): boolean;
  /**
   * Sends `count` descriptors of the transmit ring; marks TX_ERRNO of each with 0 or why it was refused (EFAULT, EINVAL: outside
   * the memory or the iovecs; ENXIO: no such port; ENODEV: a muted one), and returns how many were refused.
   */
  flush(count: number): number;
  /** Spin before a sleep, at most this long, 0: never. It spins only while the last batch is younger than a few ms. */
  setSpinUs(us: number): void;
  /** Ports muted since the last call, with the errno's name. */
  failed(): { port: number; error: string }[];
  stats(): PollerStats;
}

/**
 * Seals and opens datagrams in the engine's memory: operations as in wasm/shared/aead.ts. One a worker thread. Keys stand in
 * memory of its own, locked where the limit allows it and left out of core files, and are overwritten when they go.
 */
export interface Aead {
  /** Points it at the engine's memory, which no other thread may have. Keys stay. */
  attach(memory: Uint8Array): void;
  /** `material`: key and salt; no copy of it stays but the slot's own, so that the caller can overwrite it. */
  setKey(slot: number, algorithm: number, material: Uint8Array): void;
  /** None there: fine. */
  removeKey(slot: number): void;
  /** Carries out the `count` operations that stand at `at`; how many did not end in AEAD_DONE. */
  run(at: number, count: number): number;
  /** Whether every page that ever held a key could be locked in memory. */
  readonly locked: boolean;
}

export interface LoopbackOptions {
  namespace: string;
  /** IPv4, of the loopback interface: "127.0.0.11". */
  address: string;
  /** Where the service is found; programs in the namespace can still bind it on all addresses. */
  port: number;
  /** Name of the nftables table (family ip) that leads there. Replaced if it is there. */
  table: string;
  /** Bind the port itself, without a table; programs there can't bind it on all addresses then. */
  direct?: boolean;
}

/** Bound sockets, non-blocking and close-on-exec; `tcp` listens. */
export interface LoopbackService {
  udp: number;
  tcp: number;
}

export interface NftablesOutcome {
  /** 0: done. */
  code: number;
  /** What a `list` printed. */
  output: string;
  error: string;
}

/** Connections that the kernel tracks: those for which all that is given holds. */
export interface FlowFilter {
  family: 4 | 6;
  /** IP's number. */
  protocol?: number;
  /** Where the client sent to: within one of these prefixes. */
  destinations?: string[];
  firstPort?: number;
  lastPort?: number;
  /** Who really answers: an address within this prefix. */
  answeredBy?: string;
  /** Who sent or answers. */
  party?: string;
  /** Only flows whose destination is translated. */
  translated?: boolean;
  /** But not these. */
  except?: { answeredBy: string; protocol?: number; firstPort?: number; lastPort?: number }[];
}

export interface ChildExit {
  /** Exit code, or null when a signal ended it. */
  code: number | null;
  /** Signal number, or null. */
  signal: number | null;
}

export interface TerminalSize {
  rows: number;
  columns: number;
}

export interface RunOptions {
  env?: Record<string, string>;
  cwd?: string;
  hostname?: string;
  /** Counts with a hostname only. */
  domainname?: string;
  files?: { source: string; target: string }[];
  /** Whether it has this process's standard input; without it reads end at once. */
  input?: boolean;
  /** The slave of a pseudo-terminal: the program's streams and the controlling terminal of its session. A copy is taken. */
  terminal?: number;
}

export interface Native {
  Poller: new () => Poller;
  Aead: new () => Aead;
  /** Ends the sleep of the poller that has this eventfd. Any thread. */
  wake(wakeFd: number): void;
  /**
   * Creates the TAP in its namespace, or attaches to it again, and brings it to the settings in the same visit. Returns the fd,
   * non-blocking, close-on-exec.
   */
  openTap(options: TapOptions, settings?: LinkSettings): Promise<number>;
  /** Deletes a persistent TAP: by its fd's TUNSETPERSIST 0, or by netlink when no fd is at hand. Missing ones are fine. */
  deleteLink(namespace: string | null, name: string): Promise<void>;
  openUdp(options: UdpOptions): Promise<number>;
  /** A raw packet socket on the interface, bound; it lets groups in and no unicast. ENODEV: there is no such interface. */
  openPacket(options: PacketOptions): Promise<number>;
  listenPacket(fd: number, wanted: PacketListening): void;
  /** False once its interface was deleted or moved to another namespace: it will never receive again. */
  packetHasInterface(fd: number): boolean;
  openRaw(options: RawOptions): Promise<number>;
  /** A raw socket that gets ICMP's "too big" and nothing else: over IPv4 with the IP header, over IPv6 from the ICMP header on. */
  openTooBig(options: TooBigOptions): Promise<number>;
  /** Has the socket send what its interface takes, unfragmented, whatever the kernel believes of the path. */
  ignorePathMtu(fd: number): void;
  /** Opens a service by UDP and TCP at an address of the namespace's loopback, which is set up. */
  openLoopbackService(options: LoopbackOptions): Promise<LoopbackService>;
  /** Deletes that service's table; missing ones are fine. */
  removeLoopbackService(namespace: string, table: string): Promise<void>;
  /**
   * Runs nftables commands in the daemon's own namespace, all or none, by libnftables; ENOENT if the host has none. Listings
   * are stateless.
   */
  runNftables(commands: string): Promise<NftablesOutcome>;
  /**
   * Calls `onChange` after each transaction of others that changed this table of family inet, and where notifications were lost;
   * for as long as the process lives, which it doesn't prolong. Throws if the kernel has no netfilter.
   */
  watchNftables(table: string, onChange: () => void): void;
  /**
   * Binds a port in the daemon's own namespace, "::" without IPv4, at once: throws EADDRINUSE etc. Who calls is turned away until
   * the port leads somewhere. Answers its name for the calls below.
   */
  holdPort(protocol: "tcp" | "udp", address: string, port: number): number;
  /** Relays an IPv6 port to a place with IPv4, and ends what it relayed to another; null: nowhere. */
  leadPort(held: number, address: string | null, port: number): void;
  /** Lets it go, and ends what it relays. */
  releasePort(held: number): void;
  /** How many TCP connections and UDP clients are relayed at most, and how long a silent UDP client is remembered. */
  limitRelays(most: number, udpIdleMs: number): void;
  /** Those that are relayed now. */
  relayed(): number;
  /** A connected socket, non-blocking and close-on-exec. Rejects with ETIMEDOUT, ECONNREFUSED etc. */
  connectTcp(namespace: string, address: string, port: number, timeoutMs: number): Promise<number>;
  closeFd(fd: number): Promise<void>;
  /**
   * Makes a new network namespace, loopback up, and keeps it by a bind mount at `path` (made with its parents). EEXIST if it is
   * one already. `sysctls` as of writeSysctls, but those that the kernel does not have are passed over.
   */
  createNamespace(path: string, sysctls?: Record<string, string>): Promise<void>;
  /** Unmounts and unlinks. Missing ones are fine. */
  deleteNamespace(path: string): Promise<void>;
  /** Whether `path` is an nsfs file of a network namespace, and its inode (identifies the namespace). Null if it is none. */
  namespaceInode(path: string): number | null;
  links(namespace: string | null): Promise<LinkInfo[]>;
  /** Of an interface in the daemon's own namespace, by its name or an alternative one; null: there is none. At once. */
  linkIndex(name: string): number | null;
  addresses(namespace: string | null): Promise<AddressInfo[]>;
  routes(namespace: string | null): Promise<RouteInfo[]>;
  configureInterface(namespace: string | null, config: InterfaceConfig): Promise<void>;
  /** Removes routes given (destination and gateway as configured); missing ones are fine. */
  deleteRoutes(namespace: string | null, routes: { destination: string; gateway?: string }[]): Promise<void>;
  /** Has answers to ::1 taken in by this interface: route_localnet, for IPv6. Gone with the interface; there already is fine. */
  routeLoopbackIpv6(namespace: string | null, interfaceName: string): Promise<void>;
  /** Has the kernel forget tracked connections (what a filter holds for); answers how many. */
  forgetFlows(namespace: string | null, filters: FlowFilter[]): Promise<number>;
  /** Writes /proc/sys entries as seen inside the namespace: {"net.ipv6.conf.all.disable_ipv6": "1"}. */
  writeSysctls(namespace: string | null, values: Record<string, string>): Promise<void>;
  /**
   * Runs a program in the namespace with this process's stdio, environment and working directory unless given; resolves when
   * it ends. `onSpawn` gets the pid at once. ENOENT etc. reject. `files` are bind-mounted in a mount namespace of its own (not
   * where there is no file at `target`), `hostname` is its own.
   */
  runInNamespace(namespace: string, argv: string[], options: RunOptions, onSpawn: (pid: number) => void): Promise<ChildExit>;
  /** A pseudo-terminal; both descriptors are close-on-exec. */
  openTerminal(): { master: number; slave: number };
  /** Null: the descriptor is no terminal. */
  terminalSize(fd: number): TerminalSize | null;
  /** Whether a read of the master would give something now. */
  terminalHasOutput(master: number): boolean;
  /** Raw: every byte goes through as it is. False: the settings that were before. Of one terminal at a time. */
  rawTerminal(fd: number, raw: boolean): void;
  resizeTerminal(fd: number, rows: number, columns: number): void;
  /** When a process began, in clock ticks since boot: with its pid the name of a process. Null: it is not there, or has ended. */
  processStart(pid: number): number | null;
  /** Calls `onEnd` once when that process has ended, which keeps nothing alive; false: it is not there any more. */
  watchProcess(pid: number, start: number, onEnd: () => void): boolean;
  /** The descriptor layouts it was built with, by their names in wasm/shared/abi.ts; a test compares them. */
  layoutConstants(): { name: string; value: number }[];
  /** flock(LOCK_EX|LOCK_NB) on a file made if missing; the fd, or null when another process holds it. */
  lockFile(path: string): number | null;

  /** The kernel makes no core file of this process any more. */
  forbidCoreFiles(): void;
}

const require = createRequire(import.meta.url);
let loaded: Native | undefined;

/** The addon; loads it at the first call. WEFT_NATIVE names another file (tests). */
export function native(): Native {
  const path = process.env.WEFT_NATIVE ?? ADDON_PATH;
  try {
    loaded ??= require(path) as Native;
  } catch (error) {
    throw unavailable(
      `the native addon ${path} can't be loaded (${(error as Error).message.split("\n")[0]}): build it with \`npm run build\``,
    );
  }
  return loaded;
}
