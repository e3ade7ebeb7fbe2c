// The way out of the host for sandboxes whose networks lead nowhere else: an overlay joins hosts, and has no gateway. Such a
// sandbox gets one more endpoint, on a bridge network of this host, `weft_gwbridge` (Docker's docker_gwbridge): its last
// interface, with its default routes; published ports come in by it. Sandboxes don't reach each other there (ICC off), it has no
// names, and it stands neither in hosts files nor in `sandbox inspect`.
//
// A sandbox has that endpoint exactly while none of its networks gives a gateway and one of them is an overlay that is not
// internal. It joins and leaves by itself, with the connects and disconnects that make the difference. Connecting to a network
// with a gateway commits that first and leaves afterwards: a crash in between leaves an endpoint too many, whose routes count
// last, and the next start ends it.
//
// The network is made when it is needed first, and stays. Who wants it different makes it before: `weft network create
// weft_gwbridge --subnet ... -o com.docker.network.bridge.name=...`. A host that can't have it (pools are used up) still has its
// overlays: it is a warning of the daemon's.
import { forbidden, WeftError } from "../../errors.ts";
import type { NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { endpointKey } from "../../store/keys.ts";
import { attempt, type Context, commit } from "../context.ts";
import { EGRESS_NETWORK, isEgress } from "../names.ts";
import { makeNetwork } from "../networks/making.ts";
import { dropNetwork } from "../networks/removal.ts";
import { forgetFlows } from "../ports/routing.ts";
import type { CreateNetworkRequest } from "../types.ts";
import { withdrawAttachments } from "./attachments.ts";
import type { Attachment } from "./wants.ts";

const ICC_KEY = "com.docker.network.bridge.enable_icc";
const MASQUERADE_KEY = "com.docker.network.bridge.enable_ip_masquerade";
const NAME_KEY = "com.docker.network.bridge.name";

type Link = Pick<Attachment, "network" | "driver">;

/** Whether a sandbox on these networks is to be on it. */
export function needsEgress({ egress }: Pick<Context, "egress">, links: readonly Link[]): boolean {
  const own = links.filter(({ network }) => !isEgress(network));
  const leads = own.some(({ network, driver }) => {
    const { gatewayIpv4, gatewayIpv6 } = driver.join(network, { ipv4: null, ipv6: null });
    return gatewayIpv4 !== null || gatewayIpv6 !== null;
  });
  return egress === true && !leads && own.some(({ network, driver }) => driver.leadsNowhere === true && !network.internal);
}

/** The network, made if it is not there. Null: it can't be. */
export async function egressNetwork(context: Context): Promise<NetworkRecord | null> {
  const found = (): NetworkRecord | null => {
    const network = context.state.networkByName(EGRESS_NETWORK);
    return network === undefined || context.pending.has(network.id) ? null : network;
  };
  const there = found();
  if (there !== null) return there;
  try {
    const made = await make(context);
    context.warnings.delete(EGRESS_NETWORK);
    return made;
  } catch (error) {
    // Somebody else was first.
    if (error instanceof WeftError && error.code === "ALREADY_EXISTS" && found() !== null) return found();
    const message = `sandboxes on overlay networks have no way out: network ${EGRESS_NETWORK} could not be made: ${(error as Error).message}`;
    context.warnings.set(EGRESS_NETWORK, message);
    context.log("warn", message);
    return null;
  }
}

/**
 * Does what joins sandboxes to networks, with the way out that these networks need, or null. A refusal leaves nothing: where it
 * was made for this, and nobody else came meanwhile, it goes again; who came while it went, and was refused for that, tries again.
 */
export async function withEgress<T>(context: Context, links: readonly Link[], work: (way: NetworkRecord | null) => Promise<T>): Promise<T> {
  const isNew = context.state.networkByName(EGRESS_NETWORK) === undefined;
  const way = needsEgress(context, links) ? await egressNetwork(context) : null;
  try {
    return await work(way);
  } catch (error) {
    if (way !== null && !context.state.networks.has(way.id)) return await withEgress(context, links, work);
    if (way !== null && isNew && context.state.endpointsOfNetwork(way.id).length === 0) {
      await attempt(context, `removing network ${EGRESS_NETWORK}, which nobody needs yet`, () => dropNetwork(context, way.id));
    }
    throw error;
  }
}

async function make(context: Context): Promise<NetworkRecord> {
  const taken = context.host.hasLink(EGRESS_NETWORK);
  const options = { [ICC_KEY]: "false", [MASQUERADE_KEY]: "true", ...(taken ? {} : { [NAME_KEY]: EGRESS_NETWORK }) };
  const request: CreateNetworkRequest = { name: EGRESS_NETWORK, driver: "bridge", options };
  try {
    return await makeNetwork(context, { ...request, enableIpv6: true });
  } catch (error) {
    if (error instanceof WeftError && error.code === "ALREADY_EXISTS") throw error;
    context.log("info", `network ${EGRESS_NETWORK} is made without IPv6`, { reason: (error as Error).message });
    return await makeNetwork(context, request);
  }
}

/** What sandboxes do by themselves, users don't. */
export function refuseEgress(network: Pick<NetworkRecord, "name">): void {
  if (isEgress(network)) {
    throw forbidden(`sandboxes join and leave network ${network.name} by themselves: connect them to networks of your own`);
  }
}

/** Takes a sandbox off it, which has a better way now; `rest` is what it is on. What fails is made good by the next start. */
export async function leaveEgress(context: Context, sandbox: SandboxRecord, gate: Attachment, rest: readonly Attachment[]): Promise<void> {
  await attempt(context, `taking sandbox ${sandbox.name} off network ${EGRESS_NETWORK}`, async () => {
    await withdrawAttachments(context, sandbox, [gate], rest);
    await commit(context, [], [endpointKey(gate.endpoint.id)]);
    await context.ipam.releaseAddresses(gate.network.id, gate.endpoint);
    await forgetFlows(context, [gate]);
  });
}
