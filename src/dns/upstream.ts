// Questions that nobody here can answer, passed on: whom to ask, from where, and whom to ask next.
//
// The host's servers are reached as the host reaches them, from its namespace (one may be on its loopback). Servers that the
// user named for a sandbox are the sandbox's view of the world and asked from inside its namespace. So is every server when
// all networks of the sandbox are internal: what is cut off from the outside must not get a way out through the daemon.

import { addressRange, formatAddress, tryParseAddress, unmapped } from "../net/address.ts";
import type { SandboxRecord } from "../records/records.ts";
import { answersTo, encodeForwarded } from "./forwarded.ts";
import { type Query, RCODE, rcodeOf } from "./message.ts";

export interface Server {
  readonly address: string;
  /** Namespace to ask from; null: the daemon's own. */
  readonly namespacePath: string | null;
}

/**
 * How one question gets to one server and its answer back; transport.ts over sockets, a table in tests. Rejects if there is
 * none within `timeoutMs`.
 */
export type Exchange = (
  server: Server,
  bytes: Uint8Array,
  overTcp: boolean,
  timeoutMs: number,
  /** Tells the answer from what somebody else sent. */
  accept: (answer: Uint8Array) => boolean,
) => Promise<Uint8Array>;

/** As many as libc reads of a resolv.conf. */
const SERVERS_MAX = 3;
export const IO_TIMEOUT_MS = 4000;
/** Where we are ourselves in a sandbox: asking it from there would be asking for ever. */
export const RESOLVER_ADDRESS = "127.0.0.11";

export function isLoopback(server: string): boolean {
  const address = tryParseAddress(server);
  return address !== null && addressRange(unmapped(address)) === "loopback";
}

/** In either spelling: an IPv6 socket that asks ::ffff:127.0.0.11 asks by IPv4. */
function isResolver(server: string): boolean {
  const address = tryParseAddress(server);
  return address !== null && formatAddress(unmapped(address)) === RESOLVER_ADDRESS;
}

/** `closed`: all of its networks are internal, or it has none. `hostServers`: of the host's resolv.conf. */
export function upstreamServers(sandbox: SandboxRecord, closed: boolean, hostServers: readonly string[]): Server[] {
  const inside = (address: string): Server => ({ address, namespacePath: sandbox.namespacePath });
  const own = sandbox.dns.servers;
  const servers =
    own.length > 0
      ? own.filter((address) => !isResolver(address)).map(inside)
      : closed
        ? hostServers.filter((address) => !isLoopback(address) && !address.includes("%")).map(inside)
        : hostServers.map((address) => ({ address, namespacePath: null }));
  return servers.slice(0, SERVERS_MAX);
}

/** One after the other until one has an answer, "there is no such name" among them. Null: none has. */
export async function ask(
  exchange: Exchange,
  servers: readonly Server[],
  query: Query,
  overTcp: boolean,
  randomId: () => number,
): Promise<Uint8Array | null> {
  for (const server of servers) {
    const asked = encodeForwarded(query, randomId());
    try {
      const answer = await exchange(server, asked, overTcp, IO_TIMEOUT_MS, (bytes) => answersTo(bytes, asked, query));
      const rcode = rcodeOf(answer);
      if (rcode !== RCODE.SERVFAIL && rcode !== RCODE.REFUSED) return answer;
    } catch {
      // It is down, silent or out of reach, which the next need not be.
    }
  }
  return null;
}
