// What is read back from the store must be what records.ts says: a record of another program, of a later version or of a bug
// would otherwise travel as far as the engine's tables. Unknown fields are dropped, missing ones refused, but for those that
// came later and have a default: what an earlier version stored is read as that version meant it.
import { z } from "zod";
import { WeftError } from "../errors.ts";
import { tryParseAddress } from "../net/address.ts";
import { PORT_MAX, PROTOCOLS } from "../net/port-spec.ts";
import { tryParseInterfaceAddress, tryParsePrefix } from "../net/prefix.ts";
import type { EndpointRecord, NetworkRecord, PeerRecord, SandboxRecord } from "./records.ts";

const id = z.string().regex(/^[0-9a-f]{64}$/, "64 hexadecimal digits");
const prefix = z.string().refine((text) => tryParsePrefix(text) !== null, "a prefix");
const address = z.string().refine((text) => tryParseAddress(text) !== null, "an address");
const interfaceAddress = z.string().refine((text) => tryParseInterfaceAddress(text) !== null, "an address with prefix length");
const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, "a MAC address");
/** Names are the user's, `__proto__` among them, which z.record leaves out. What JSON.parse made has it as any other. */
const named = (valid: (text: string) => boolean, what: string) =>
  z.custom<Readonly<Record<string, string>>>(
    (value) =>
      typeof value === "object" &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((text) => typeof text === "string" && valid(text)),
    what,
  );
const texts = named(() => true, "an object of texts");
const addresses = named((text) => tryParseAddress(text) !== null, "an object of addresses");

const ipamConfig = z.object({
  subnet: prefix,
  ipRange: prefix.nullable(),
  gateway: address.nullable(),
  auxAddresses: addresses,
  poolId: z.string().optional(),
});

const network = z.object({
  id,
  name: z.string().min(1),
  createdAt: z.string(),
  driver: z.string(),
  scope: z.enum(["local", "global"]),
  enableIpv4: z.boolean(),
  enableIpv6: z.boolean(),
  internal: z.boolean(),
  attachable: z.boolean(),
  ingress: z.boolean().default(false),
  configOnly: z.boolean().default(false),
  configFrom: z.string().nullable().default(null),
  ipamDriver: z.string(),
  ipamOptions: texts,
  ipam: z.array(ipamConfig),
  options: texts,
  labels: texts,
  driverState: z.record(z.string(), z.unknown()),
}) satisfies z.ZodType<NetworkRecord>;

const endpoint = z.object({
  id,
  networkId: id,
  sandboxId: id.nullable(),
  name: z.string(),
  mac: mac.nullable(),
  ipv4: interfaceAddress.nullable(),
  ipv6: interfaceAddress.nullable(),
  requested: z
    .object({ ipv4: address.nullable(), ipv6: address.nullable(), linkLocal: z.array(address) })
    .default({ ipv4: null, ipv6: null, linkLocal: [] }),
  aliases: z.array(z.string()),
  links: z.array(z.object({ target: z.string(), alias: z.string() })).default([]),
  interfaceName: z.string().nullable(),
  gwPriority: z.number().int().default(0),
  driverOptions: texts.default({}),
  driverState: z.record(z.string(), z.unknown()),
}) satisfies z.ZodType<EndpointRecord>;

const port = z.number().int().min(1).max(PORT_MAX);
const protocol = z.enum(PROTOCOLS);
const hostPort = z.number().int().min(0).max(PORT_MAX);
const publishedPort = z.object({ protocol, hostAddress: address.nullable(), hostPort, port, count: port });
const exposedPorts = z.object({ protocol, ports: z.object({ first: port, last: port }) });

const processId = z.object({ pid: z.number().int().min(1), start: z.number().int().min(0) });

const sandbox = z.object({
  id,
  name: z.string().min(1),
  createdAt: z.string(),
  hostname: z.string(),
  namespacePath: z.string().startsWith("/"),
  ownsNamespace: z.boolean(),
  joinedTo: id.nullable().default(null),
  labels: texts,
  removeOnExit: z.boolean(),
  dns: z
    .object({ servers: z.array(address), search: z.array(z.string()), options: z.array(z.string()) })
    .default({ servers: [], search: [], options: [] }),
  ports: z.array(publishedPort).default([]),
  exposed: z.array(exposedPorts).default([]),
  program: z
    .object({ argv: z.array(z.string()), startedAt: z.string(), process: processId.nullable(), supervisor: processId.nullable() })
    .nullable()
    .default(null),
  extraHosts: z.array(z.object({ name: z.string(), address: z.string() })).default([]),
  sysctls: texts.default({}),
  domainname: z.string().default(""),
  environment: z.array(z.string()).default([]),
}) satisfies z.ZodType<SandboxRecord>;

const peer = z.object({
  address,
  port: z.number().int().min(1).max(65535),
  networkId: id.nullable(),
  createdAt: z.string(),
}) satisfies z.ZodType<PeerRecord>;

const SCHEMAS = { network, endpoint, sandbox, peer } as const;
type RecordKind = keyof typeof SCHEMAS;
type RecordOf<K extends RecordKind> = z.infer<(typeof SCHEMAS)[K]>;

/** Throws DATA_LOSS naming store and key. */
export function readRecord<K extends RecordKind>(kind: K, key: string, value: unknown, store: string): RecordOf<K> {
  const result = SCHEMAS[kind].safeParse(value);
  if (!result.success) {
    const [issue] = result.error.issues;
    throw damagedRecord(store, key, `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "invalid"}`);
  }
  return result.data as RecordOf<K>;
}

export function damagedRecord(store: string, key: string, reason: string): WeftError {
  return new WeftError(
    "DATA_LOSS",
    `the store ${store} is corrupt: the record ${key} is not valid (${reason}); restore it from a backup, or move it away to start with no networks and sandboxes`,
  );
}
