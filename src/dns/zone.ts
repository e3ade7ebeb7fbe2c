// What names mean inside a sandbox: a pure function of the endpoints stored. A network's names are computed whole from its
// members, never patched: no lost event can leave a name behind.
//
//   member of network `web`: sandbox api, alias db, id 3f2a..., hostname h   answers to api, db, 3f2a..., h and each with .web
//
// A name a.b.c is looked for as it is on every network that the asker is attached to, then as a.b on network c, then as a on
// network b.c. The first find with an address of the family asked for is the answer; several members of one name on one
// network are all in it. A name found without such an address exists all the same: "no data", and nobody upstream is asked.

import { addressBytes, parseAddress } from "../net/address.ts";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records/records.ts";
import { encodeName, isEncodable } from "./answer.ts";

export interface Member {
  readonly endpoint: EndpointRecord;
  readonly sandbox: SandboxRecord;
}

export interface Host {
  /** "api.web": its full name, as PTR and SRV records give it. */
  readonly fullName: string;
  readonly ipv4: Uint8Array | null;
  readonly ipv6: Uint8Array | null;
  /** Ports that it publishes or is said to serve. */
  readonly serves: readonly { readonly protocol: string; readonly first: number; readonly last: number }[];
}

export interface NetworkNames {
  /** In lower case. */
  readonly network: string;
  /** In lower case. */
  readonly hosts: { get(name: string): readonly Host[] | undefined };
  /** By address bytes as hexadecimal digits. */
  readonly addresses: ReadonlyMap<string, Host>;
}

const SHORT_ID_DIGITS = 12;

/** All that a member is called on its network, in the order in which Docker lists them. */
function memberNames({ endpoint, sandbox }: Member): string[] {
  return [...new Set([endpoint.name, ...endpoint.aliases, sandbox.id.slice(0, SHORT_ID_DIGITS), sandbox.hostname])];
}

const bytesOf = (address: string | null): Uint8Array | null =>
  address === null ? null : addressBytes(parseAddress(address.slice(0, address.indexOf("/"))));

function servedBy({ exposed, ports }: SandboxRecord): Host["serves"] {
  return [
    ...exposed.map(({ protocol, ports: { first, last } }) => ({ protocol, first, last })),
    ...ports.map(({ protocol, port, count }) => ({ protocol, first: port, last: port + count - 1 })),
  ];
}

export function networkNames(network: Pick<NetworkRecord, "name">, members: readonly Member[]): NetworkNames {
  const hosts = new Map<string, Host[]>();
  const addresses = new Map<string, Host>();
  for (const member of members) {
    const { endpoint } = member;
    const fullName = `${endpoint.name}.${network.name}`;
    const host = { fullName, ipv4: bytesOf(endpoint.ipv4), ipv6: bytesOf(endpoint.ipv6), serves: servedBy(member.sandbox) };
    for (const name of new Set(memberNames(member).map((one) => one.toLowerCase()))) {
      const others = hosts.get(name);
      if (others === undefined) hosts.set(name, [host]);
      else others.push(host);
    }
    for (const address of [host.ipv4, host.ipv6]) if (address !== null) addresses.set(addressKey(address), host);
  }
  return { network: network.name.toLowerCase(), hosts, addresses };
}

/** The network as one member sees it who has links: an alias comes before whoever is called so. */
export function withLinks(names: NetworkNames, links: EndpointRecord["links"]): NetworkNames {
  if (links.length === 0) return names;
  const get = (name: string): readonly Host[] | undefined => {
    const link = links.find(({ alias }) => alias.toLowerCase() === name);
    return names.hosts.get(link === undefined ? name : link.target.toLowerCase());
  };
  return { ...names, hosts: { get } };
}

/** `name` in lower case; null if nothing is called so on these networks. In order: the first find is to be preferred. */
export function findHosts(networks: readonly NetworkNames[], name: string): readonly (readonly Host[])[] | null {
  const found: (readonly Host[])[] = [];
  for (const { hosts } of networks) {
    const all = hosts.get(name);
    if (all !== undefined) found.push(all);
  }
  for (let dot = name.lastIndexOf("."); dot > 0; dot = name.lastIndexOf(".", dot - 1)) {
    const network = name.slice(dot + 1);
    for (const one of networks) {
      if (one.network !== network) continue;
      const all = one.hosts.get(name.slice(0, dot));
      if (all !== undefined) found.push(all);
    }
  }
  return found.length === 0 ? null : found;
}

/** The addresses of one family that `found` stands for. */
export function addressesOf(found: readonly (readonly Host[])[], family: "ipv4" | "ipv6"): Uint8Array[] {
  for (const hosts of found) {
    const addresses = hosts.map((host) => host[family]).filter((address) => address !== null);
    if (addresses.length > 0) return addresses;
  }
  return [];
}

/** Who has the address that a name of in-addr.arpa or ip6.arpa stands for; null: nobody here, or no such name. */
export function findAddress(networks: readonly NetworkNames[], name: string): Host | null {
  const key = reverseKey(name);
  if (key === null) return null;
  for (const { addresses } of networks) {
    const host = addresses.get(key);
    if (host !== undefined) return host;
  }
  return null;
}

const addressKey = (address: Uint8Array): string => Buffer.from(address).toString("hex");

/** RFC 1035 section 3.5, RFC 3596 section 2.5: the address's digits, last first. */
function reverseKey(name: string): string | null {
  if (name.endsWith(".in-addr.arpa")) {
    const parts = name.slice(0, -".in-addr.arpa".length).split(".").reverse();
    if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return null;
    return addressKey(Uint8Array.from(parts, Number));
  }
  const nibbles = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1];
  return nibbles === undefined ? null : [...nibbles.replaceAll(".", "")].reverse().join("");
}

/** A host's full name in a record; null where a network's or a sandbox's name is no sequence of DNS labels. */
export const encodedFullName = (host: Host): Uint8Array | null => (isEncodable(host.fullName) ? encodeName(host.fullName) : null);
