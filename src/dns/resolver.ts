// One sandbox's resolver: a query's bytes in, an answer's bytes out. No sockets here.
//
//   malformed, other operations, other classes
//   and transfers of zones                     ─> FORMERR, NOTIMP, REFUSED
//   a name of its networks, of any type        ─> answered here, if only with "no data": it never leaks to an upstream
//   an address of its networks, reversed       ─> its name
//   anything else                              ─> cache, upstream servers, SERVFAIL if none answers
import type { SandboxRecord } from "../records/records.ts";
import { encodeAnswer, truncatedAnswer } from "./answer.ts";
import type { AnswerCache } from "./cache.ts";
import { cacheKey, relayed } from "./forwarded.ts";
import { Gate, through } from "./gate.ts";
import { CLASS, MESSAGE_BYTES_MAX, type Query, RCODE, type Resource, TYPE, UDP_BYTES_MAX, UDP_BYTES_MIN } from "./message.ts";
import { isBad, parseQuery } from "./query.ts";
import { servicePort } from "./services.ts";
import { ask, type Exchange, IO_TIMEOUT_MS, type Server } from "./upstream.ts";
import { addressesOf, encodedFullName, findAddress, findHosts, type Host, type NetworkNames } from "./zone.ts";

/**
 * Docker says 600, and its users' caches go on to call containers that are gone. A sandbox that is asked again after some
 * seconds answers in microseconds: five are enough to spare a program that asks for each of its connections.
 */
export const LOCAL_TTL_S = 5;
/** Docker's bound. */
const UPSTREAM_MAX = 1024;

/** What a resolver knows at the moment of a question. */
export interface View {
  readonly sandbox: SandboxRecord;
  /** Of the networks it is attached to, in the order in which they are asked. */
  readonly networks: readonly NetworkNames[];
}

export interface ResolverOptions {
  view(): View;
  servers(): readonly Server[];
  readonly exchange: Exchange;
  readonly cache: AnswerCache;
  /** What all sandboxes together may have under way upstream. */
  readonly common: Gate;
  /** A whole number below `bound`, unpredictable. */
  random(bound: number): number;
}

const SERVICE = /^_([^.]+)\._(tcp|udp|sctp)\.(.+)$/;

export class Resolver {
  readonly #options: ResolverOptions;
  readonly #gate = new Gate(UPSTREAM_MAX, IO_TIMEOUT_MS);

  constructor(options: ResolverOptions) {
    this.#options = options;
  }

  /** Null: nothing is to be answered. Local names are answered at once, others later. */
  answer(bytes: Uint8Array, overTcp: boolean): Uint8Array | null | Promise<Uint8Array> {
    const query = parseQuery(bytes);
    if (query === null) return null;
    const limit = overTcp ? MESSAGE_BYTES_MAX : Math.min(query.edns?.size ?? UDP_BYTES_MIN, UDP_BYTES_MAX);
    if (isBad(query)) return encodeAnswer(query, query.rcode, 0, [], [], limit);
    // A zone as a whole is many messages, which no forwarder can answer by one.
    const refused = (query.class !== CLASS.IN && query.class !== CLASS.ANY) || query.type === TYPE.AXFR || query.type === TYPE.IXFR;
    if (refused) return encodeAnswer(query, RCODE.REFUSED, 0, [], [], limit);
    return this.#local(query, limit) ?? this.#upstream(query, overTcp, limit);
  }

  #local(query: Query, limit: number): Uint8Array | null {
    const { networks, sandbox } = this.#options.view();
    const { name, type } = query;
    const say = (answers: readonly Resource[], additional: readonly Resource[] = []): Uint8Array =>
      encodeAnswer(query, RCODE.NOERROR, LOCAL_TTL_S, answers, additional, limit);

    const found = findHosts(networks, name);
    if (found !== null) {
      const wanted = (one: number): boolean => type === one || type === TYPE.ANY;
      return say([
        ...(wanted(TYPE.A) ? this.#shuffled(addressesOf(found, "ipv4")).map((data) => ({ type: TYPE.A, data })) : []),
        ...(wanted(TYPE.AAAA) ? this.#shuffled(addressesOf(found, "ipv6")).map((data) => ({ type: TYPE.AAAA, data })) : []),
      ]);
    }

    if (name.endsWith(".arpa")) {
      const host = findAddress(networks, name);
      if (host === null) return null;
      const data = type === TYPE.PTR || type === TYPE.ANY ? encodedFullName(host) : null;
      return say(data === null ? [] : [{ type: TYPE.PTR, data }]);
    }

    const [, service, protocol, base] = SERVICE.exec(name) ?? [];
    if (service !== undefined && protocol !== undefined && base !== undefined) {
      const hosts = findHosts(networks, base)?.[0];
      if (hosts === undefined) return null;
      return type === TYPE.SRV || type === TYPE.ANY ? say(...this.#services(service, protocol, hosts)) : say([]);
    }

    // Who sets ndots means that single labels are completed by the search list, and not to be asked for as they are.
    const single = (type === TYPE.A || type === TYPE.AAAA) && !name.includes(".");
    if (single && sandbox.dns.options.some((option) => option.startsWith("ndots:"))) return say([]);
    return null;
  }

  /**
   * RFC 2782. A port may be given by its number (`_8080._tcp.web`), and is then taken as it is; of a service by name
   * (`_http._tcp.web`) those are that publish or expose its port.
   */
  #services(service: string, protocol: string, all: readonly Host[]): [Resource[], Resource[]] {
    const byNumber = /^[1-9]\d{0,4}$/.test(service);
    const port = byNumber ? Number(service) : (servicePort(service, protocol) ?? 0);
    if (port < 1 || port > 65535) return [[], []];
    const hosts = byNumber
      ? all
      : all.filter(({ serves }) => serves.some((one) => one.protocol === protocol && one.first <= port && port <= one.last));
    const answers: Resource[] = [];
    const additional: Resource[] = [];
    for (const host of this.#shuffled(hosts)) {
      const owner = encodedFullName(host);
      if (owner === null) continue;
      // Priority and weight 0: all alike.
      answers.push({ type: TYPE.SRV, data: Buffer.concat([Buffer.of(0, 0, 0, 0, port >>> 8, port & 0xff), owner]) });
      if (host.ipv4 !== null) additional.push({ owner, type: TYPE.A, data: host.ipv4 });
      if (host.ipv6 !== null) additional.push({ owner, type: TYPE.AAAA, data: host.ipv6 });
    }
    return [answers, additional];
  }

  async #upstream(query: Query, overTcp: boolean, limit: number): Promise<Uint8Array> {
    const servers = this.#options.servers();
    const fitted = (answer: Uint8Array): Uint8Array => (answer.length > limit ? truncatedAnswer(query) : answer);
    const failed = (rcode: number): Uint8Array => encodeAnswer(query, rcode, 0, [], [], limit);
    if (servers.length === 0) return failed(RCODE.SERVFAIL);
    const key = `${servers.map(({ address, namespacePath }) => `${address}@${namespacePath ?? ""}`).join(",")} ${cacheKey(query)}`;
    const cached = this.#options.cache.get(key, query);
    if (cached !== undefined) return fitted(cached);
    const gates = [this.#gate, this.#options.common];
    return (
      (await through(gates, async () => {
        const answer = await ask(this.#options.exchange, servers, query, overTcp, () => this.#options.random(0x10000));
        if (answer === null) return failed(RCODE.SERVFAIL);
        this.#options.cache.put(key, answer);
        return fitted(relayed(answer, query));
      })) ?? failed(RCODE.REFUSED)
    );
  }

  /** So that of several sandboxes with one name each gets its share. */
  #shuffled<T>(items: readonly T[]): readonly T[] {
    if (items.length < 2) return items;
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last--) {
      const other = this.#options.random(last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
    }
    return shuffled;
  }
}
