// Records by hand and a resolver over them, its upstream a function: for tests that ask without sockets. Packets are built and
// read by dns-packet, which knows nothing of ours.
import packet, { type Packet, type RecordType } from "dns-packet";
import { AnswerCache } from "../../src/dns/cache.ts";
import { Gate } from "../../src/dns/gate.ts";
import { Resolver } from "../../src/dns/resolver.ts";
import type { Server } from "../../src/dns/upstream.ts";
import { type Member, networkNames } from "../../src/dns/zone.ts";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../../src/records/records.ts";
import { random } from "./random.ts";

let made = 0;
const newId = (): string => (++made * 0x9e3779b1).toString(16).padStart(12, "0").slice(-12).padEnd(64, "0");

export function network(name: string): NetworkRecord {
  const flags = { enableIpv4: true, enableIpv6: true, internal: false, attachable: false, ingress: false, configOnly: false };
  const ipam = { ipamDriver: "default", ipamOptions: {}, ipam: [], options: {}, labels: {}, driverState: {} };
  return { id: newId(), name, createdAt: "", driver: "bridge", scope: "local", configFrom: null, ...flags, ...ipam };
}

export function sandbox(name: string, more: Partial<SandboxRecord> = {}): SandboxRecord {
  const id = newId();
  const rest = {
    namespacePath: `/run/netns/${name}`,
    ownsNamespace: true,
    joinedTo: null,
    labels: {},
    removeOnExit: false,
    ports: [],
    exposed: [],
    program: null,
    extraHosts: [],
    sysctls: {},
    domainname: "",
    environment: [],
  };
  const dns = { servers: [], search: [], options: [] };
  return { id, name, createdAt: "", hostname: id.slice(0, 12), dns, ...rest, ...more };
}

export function endpoint(on: NetworkRecord, of: SandboxRecord, more: Partial<EndpointRecord> = {}): EndpointRecord {
  const rest = {
    mac: null,
    ipv4: null,
    ipv6: null,
    requested: { ipv4: null, ipv6: null, linkLocal: [] },
    aliases: [],
    links: [],
    interfaceName: "eth0",
    gwPriority: 0,
    driverOptions: {},
    driverState: {},
  };
  return { id: newId(), networkId: on.id, sandboxId: of.id, name: of.name, ...rest, ...more };
}

export interface World {
  readonly networks: NetworkRecord[];
  readonly sandboxes: SandboxRecord[];
  readonly endpoints: EndpointRecord[];
}

export const membersOf = (world: World, on: NetworkRecord): Member[] =>
  world.endpoints
    .filter(({ networkId }) => networkId === on.id)
    .map((one) => ({ endpoint: one, sandbox: world.sandboxes.find(({ id }) => id === one.sandboxId)! }));

export interface Asked {
  readonly server: Server;
  readonly bytes: Uint8Array;
  readonly overTcp: boolean;
}

/** What an upstream does with a question; rejecting is silence. */
export type Upstream = (asked: Asked) => Promise<Uint8Array>;

export interface Bench {
  readonly resolver: Resolver;
  readonly asked: Asked[];
  nowMs: number;
}

/** The resolver of `asker`. */
export function resolverOf(world: World, asker: SandboxRecord, upstream: Upstream = noUpstream, servers: string[] = ["192.0.2.53"]): Bench {
  const asked: Asked[] = [];
  const bench = { asked, nowMs: 0 } as { asked: Asked[]; nowMs: number; resolver: Resolver };
  const draws = random(7);
  bench.resolver = new Resolver({
    view: () => ({
      sandbox: asker,
      networks: world.networks
        .filter((one) => world.endpoints.some(({ networkId, sandboxId }) => networkId === one.id && sandboxId === asker.id))
        .map((one) => networkNames(one, membersOf(world, one))),
    }),
    servers: () => servers.map((address) => ({ address, namespacePath: null })),
    exchange: async (server, bytes, overTcp, _, accept) => {
      asked.push({ server, bytes, overTcp });
      const answer = await upstream({ server, bytes, overTcp });
      if (!accept(answer)) throw new Error("no answer in time");
      return answer;
    },
    cache: new AnswerCache({ monotonicMs: () => bench.nowMs }),
    common: new Gate(10_000, 4000),
    random: draws.below,
  });
  return bench;
}

const noUpstream: Upstream = () => Promise.reject(new Error("nobody is there"));

export interface QueryOptions {
  readonly type?: string;
  readonly id?: number;
  readonly flags?: number;
  /** EDNS buffer size; undefined: no EDNS. */
  readonly edns?: number;
  readonly dnssecOk?: boolean;
}

export function encodeQuery(name: string, options: QueryOptions = {}): Uint8Array {
  const { type = "A", id = 4711, flags = packet.RECURSION_DESIRED, edns, dnssecOk = false } = options;
  return packet.encode({
    type: "query",
    id,
    flags,
    questions: [{ name, type: type as RecordType }],
    additionals:
      edns === undefined
        ? []
        : [{ type: "OPT", name: ".", udpPayloadSize: edns, flags: dnssecOk ? packet.DNSSEC_OK : 0, options: [] } as never],
  });
}

export async function ask(bench: Bench, name: string, options: QueryOptions & { overTcp?: boolean } = {}): Promise<Packet> {
  return decode((await bench.resolver.answer(encodeQuery(name, options), options.overTcp ?? false))!);
}

export const decode = (bytes: Uint8Array): Packet => packet.decode(Buffer.from(bytes));

export const rcode = (answer: Packet): string => (answer as unknown as { rcode: string }).rcode;

/** The data of the answers, in order. */
export const dataOf = (answer: Packet): unknown[] => (answer.answers ?? []).map((one) => (one as { data: unknown }).data);
