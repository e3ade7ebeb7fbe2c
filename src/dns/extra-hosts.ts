// `--add-host NAME:host-gateway`: the host, by the addresses that it has as the gateway of the predefined network `bridge`,
// whatever the sandbox is on, as in Docker. Where that network isn't, Docker refuses; here it is the gateway of the first bridge
// network that the sandbox is on, and on none there is no such line.
import type { ExtraHost, NetworkRecord } from "../records/records.ts";

const HOST_GATEWAY = "host-gateway";

type Network = Pick<NetworkRecord, "driver" | "ipam">;

/** `networks`: the sandbox's. */
export function resolvedHosts(hosts: readonly ExtraHost[], networks: readonly Network[], defaultBridge?: Network): ExtraHost[] {
  const candidates = [...(defaultBridge === undefined ? [] : [defaultBridge]), ...networks];
  const bridge = candidates.find(({ driver, ipam }) => driver === "bridge" && ipam.some(({ gateway }) => gateway !== null));
  const gateways = (bridge?.ipam ?? []).flatMap(({ gateway }) => gateway ?? []);
  return hosts.flatMap(({ name, address }) =>
    address === HOST_GATEWAY ? gateways.map((one) => ({ name, address: one })) : [{ name, address }],
  );
}
