// Connections that the kernel tracks and that must end with what they were translated by. A flow keeps the translation of its
// first packet for as long as packets come, so a UDP client that never rests would never notice that a port leads elsewhere.
//
//   a port that was published, at its address, to its sandbox   all flows that it led there
//   a port that is published now                                UDP flows that began before and lead elsewhere: to nobody
//                                                               (the host itself) or to a sandbox of before
//   a sandbox's address that is given up                        all flows from it and to it
//   at start, when nobody knows what was                        all flows translated into our subnets that no port accounts for
//
// Pure functions from plans to filters; the kernel's table is looked at in native/src/netlink/flows.rs. Ports that stay as they
// are keep their flows, also when the publication that they are part of is cut or joined.
import type { Protocol } from "../net/port-spec.ts";
import type { FlowFilter } from "../ports/native.ts";
import type { NatPlan, Publication } from "./types.ts";

const NUMBERS: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17, sctp: 132 };
const ANYWHERE = ["0.0.0.0", "::"];
/** Nobody's interface shows these, and yet they are the host's. */
const LOOPBACK = { 4: "127.0.0.0/8", 6: "::1/128" } as const;

const one = (address: string): string => `${address}/${address.includes(":") ? 128 : 32}`;
const translates = ({ mode }: Pick<Publication, "mode">): boolean => mode === "nat" || mode === "nat-unprotected";

/** Flows of ports that the host no longer has as it had them, or not yet had. `local`: the host's addresses. */
export function staleFlows(before: NatPlan | null, now: NatPlan, local: readonly string[]): FlowFilter[] {
  const gone = before === null ? [] : without(before.publications, now.publications).map(led);
  const fresh = without(now.publications, before?.publications ?? []).filter((it) => it.protocol === "udp" && translates(it));
  return [...gone, ...fresh.map((publication) => misled(publication, local)), ...(before === null ? unaccounted(now) : [])];
}

/** Flows of a sandbox's address. */
export function flowsOf(address: string): FlowFilter {
  return { family: address.includes(":") ? 6 : 4, party: address };
}

/** In routed mode clients send to the sandbox's own address and port. */
function led({ family, protocol, hostAddress, hostPort, count, target, targetPort, mode }: Publication): FlowFilter {
  const first = translates({ mode }) ? hostPort : targetPort;
  const destinations = !translates({ mode }) ? [one(target)] : ANYWHERE.includes(hostAddress) ? null : [one(hostAddress)];
  return {
    ...{ family, protocol: NUMBERS[protocol], firstPort: first, lastPort: first + count - 1, answeredBy: one(target) },
    ...(destinations === null ? {} : { destinations }),
  };
}

function misled({ family, protocol, hostAddress, hostPort, count, target }: Publication, local: readonly string[]): FlowFilter {
  const ours = local.filter((address) => address.includes(":") === (family === 6)).map(one);
  return {
    ...{ family, protocol: NUMBERS[protocol], firstPort: hostPort, lastPort: hostPort + count - 1 },
    destinations: ANYWHERE.includes(hostAddress) ? [LOOPBACK[family], ...ours] : [one(hostAddress)],
    except: [{ answeredBy: one(target) }],
  };
}

function unaccounted({ networks, publications }: NatPlan): FlowFilter[] {
  return networks.flatMap(({ ipv4, ipv6 }) =>
    ([4, 6] as const).flatMap((family): FlowFilter[] => {
      const subnet = (family === 4 ? ipv4 : ipv6)?.subnet;
      if (subnet === undefined) return [];
      const except = publications
        .filter((publication) => publication.family === family && translates(publication))
        .map(({ protocol, hostPort, count, target }) => ({
          ...{ answeredBy: one(target), protocol: NUMBERS[protocol], firstPort: hostPort, lastPort: hostPort + count - 1 },
        }));
      return [{ family, answeredBy: subnet, translated: true, except }];
    }),
  );
}

/** All but the number of ports: what two publications share whose ports may be joined. */
const leadOf = ({ protocol, hostAddress, hostPort, target, targetPort, mode }: Publication): string =>
  [protocol, hostAddress, target, targetPort - hostPort, mode].join(" ");

/** What of `all` is not in `others`, to the port. */
function without(all: readonly Publication[], others: readonly Publication[]): Publication[] {
  const byLead = new Map<string, Publication[]>();
  for (const other of others) byLead.set(leadOf(other), [...(byLead.get(leadOf(other)) ?? []), other]);
  return all.flatMap((publication) =>
    (byLead.get(leadOf(publication)) ?? []).reduce((rest, other) => rest.flatMap((piece) => cut(piece, other)), [publication]),
  );
}

function cut(piece: Publication, { hostPort, count }: Publication): Publication[] {
  const end = piece.hostPort + piece.count;
  const part = (first: number, last: number): Publication[] =>
    last <= first ? [] : [{ ...piece, hostPort: first, targetPort: piece.targetPort + first - piece.hostPort, count: last - first }];
  return [...part(piece.hostPort, Math.min(end, hostPort)), ...part(Math.max(piece.hostPort, hostPort + count), end)];
}
