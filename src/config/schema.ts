// Every setting of the daemon: its type, its default and what it is for, in one table. The file (--config) has them as nested
// JSON, flags and --set by their path ("datapath.spinUs"). A key that isn't here is refused, with the nearest that is.
import { hostname } from "node:os";
import { z } from "zod";
import { FDB_SLOTS_DEFAULT, FDB_SLOTS_MAX, MTU_MAX, MTU_MIN } from "../../wasm/shared/limits.ts";
import { VXLAN_PORT } from "../../wasm/shared/protocol.ts";
import { DEFAULT_SOCKET, DEFAULT_STATE_DIR } from "./defaults.ts";

const port = z.int().min(1).max(65535);
const SPIN_MAX_US = 1000;
/** One key protects no more: its nonces and its forgery bound allow it, with room. */
const PACKETS_MAX = 2 ** 32;
const BYTES_MAX = 2 ** 38;
const INTERFACE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$/;
const NODE_NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$/;

const address = z.union([z.ipv4(), z.ipv6()], { error: "must be an IP address" });
const hostPort = z.string().regex(/^(\[[0-9a-f:]+\]|[^:\s]+):\d{1,5}$/i, { error: 'must be host:port: "127.0.0.1:9469"' });
const folder = z.string().startsWith("/", { error: "must be an absolute path" });
const powerOfTwo = (value: number): boolean => (value & (value - 1)) === 0;

export const schema = z.strictObject({
  stateDir: z.string().min(1).default(DEFAULT_STATE_DIR).describe("folder of what survives a restart"),
  socket: z.string().min(1).default(DEFAULT_SOCKET).describe("Unix socket of the API"),
  nodeName: z
    .string()
    .regex(NODE_NAME, { error: "must be letters, digits, _ . - and at most 63 of them" })
    .default(() => hostname())
    .describe("this node's name"),
  underlayAddresses: z
    .array(address)
    .max(2)
    .default([])
    .describe("addresses of this host that VXLAN uses: at most one IPv4 and one IPv6; none: local networks only"),
  vxlanPort: port.default(VXLAN_PORT).describe("UDP port of VXLAN"),
  resolvConf: z.string().min(1).default("/etc/resolv.conf").describe("names the servers that sandboxes' other questions go to"),
  bridge: z
    .strictObject({
      enabled: z.boolean().default(true).describe("whether there is a network `bridge`, for sandboxes that name no network"),
      interfaceName: z
        .string()
        .regex(INTERFACE_NAME, { error: "must be an interface's name: at most 15 letters, digits, _ . -" })
        .nullable()
        .default(null)
        .describe("its gateway's interface on the host; null: the first of weft0, weft1, ... that is free"),
      ipv4: z
        .cidrv4({ error: 'must be an address and a length: "10.9.0.1/16"' })
        .nullable()
        .default(null)
        .describe("its gateway's address with the subnet's length; null: of a default pool"),
      ipv6: z
        .cidrv6({ error: 'must be an address and a length: "fd00:9::1/64"' })
        .nullable()
        .default(null)
        .describe("the same for IPv6; null: of a ULA subnet if enableIpv6"),
      enableIpv6: z.boolean().default(false).describe("whether it has IPv6"),
      icc: z.boolean().default(true).describe("whether sandboxes on it reach each other"),
      masquerade: z.boolean().default(true).describe("whether they have the host's address outside"),
      mtuBytes: z.int().min(MTU_MIN).max(MTU_MAX).default(1500).describe("its largest IP packet"),
    })
    .prefault({}),
  egress: z.boolean().default(true).describe("whether sandboxes that are on overlays only reach out of the host, by network weft_gwbridge"),
  metrics: hostPort.nullable().default(null).describe("host:port of the Prometheus metrics; null: off"),
  log: z
    .strictObject({
      level: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info").describe("least level that is logged"),
      format: z.enum(["json", "text"]).nullable().default(null).describe("null: text on a terminal, else json"),
    })
    .prefault({}),
  datapath: z
    .strictObject({
      fdbSlots: z
        .int()
        .min(1024)
        .max(FDB_SLOTS_MAX)
        .refine(powerOfTwo, { error: "must be a power of two" })
        .default(FDB_SLOTS_DEFAULT)
        .describe("size of the forwarding database, a power of two; 16 bytes each"),
      spinUs: z
        .int()
        .min(0)
        .max(SPIN_MAX_US)
        .default(50)
        .describe("microseconds of polling before a sleep while traffic is recent; 0: never"),
      crypto: z
        .enum(["auto", "native", "wasm"])
        .default("auto")
        .describe("who seals and opens encrypted networks' frames: native, wasm (the engine itself), auto: native, else wasm"),
      auditIntervalS: z.int().min(0).default(60).describe("seconds between audits of the engine's tables; 0: only by weft audit"),
    })
    .prefault({}),
  keys: z
    .strictObject({
      rekeyS: z.int().min(1).default(43_200).describe("seconds after which encrypted overlays get new keys"),
      packetLimit: z.int().min(1024).max(PACKETS_MAX).default(PACKETS_MAX).describe("packets after which they do"),
      byteLimit: z.int().min(65_536).max(BYTES_MAX).default(BYTES_MAX).describe("bytes after which they do"),
      keepaliveS: z.int().min(0).max(3600).default(20).describe("seconds between two datagrams that keep a NAT open; 0: none"),
    })
    .prefault({}),
  plugins: z
    .strictObject({
      sockets: z.array(folder).default(["/run/docker/plugins"]).describe("folders with sockets of plugins: NAME.sock"),
      specs: z
        .array(folder)
        .default(["/etc/docker/plugins", "/usr/lib/docker/plugins"])
        .describe("folders with files that say where plugins are: NAME.spec, NAME.json"),
      retryS: z.number().min(0).max(60).default(15).describe("seconds to try again while a plugin can't be reached"),
    })
    .prefault({}),
});

export type Config = z.output<typeof schema>;

export interface Setting {
  /** "datapath.spinUs" */
  readonly path: string;
  readonly doc: string;
  readonly default: unknown;
}

type Shape = Readonly<Record<string, z.ZodType>>;

/** The object behind defaults, or undefined for a leaf. */
function shapeOf(type: z.ZodType): Shape | undefined {
  if (type instanceof z.ZodObject) return type.shape as Shape;
  return type instanceof z.ZodPrefault ? shapeOf(type.unwrap() as z.ZodType) : undefined;
}

function settingsOf(shape: Shape, prefix: string): Setting[] {
  return Object.entries(shape).flatMap(([name, type]) => {
    const inner = shapeOf(type);
    if (inner !== undefined) return settingsOf(inner, `${prefix}${name}.`);
    return [{ path: prefix + name, doc: type.description ?? "", default: type.parse(undefined) }];
  });
}

export const SETTINGS: readonly Setting[] = settingsOf(schema.shape as Shape, "");

/** For `weft daemon --settings`. */
export function describeSettings(): string {
  const rows = SETTINGS.map(({ path, doc, default: value }) => [path, JSON.stringify(value), doc] as const);
  const widths = [0, 1].map((at) => Math.max(...rows.map((row) => row[at]!.length)));
  return rows.map((row) => `${row[0].padEnd(widths[0]!)}  ${row[1].padEnd(widths[1]!)}  ${row[2]}\n`).join("");
}
