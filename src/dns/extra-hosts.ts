// `--add-host NAME:host-gateway`: the host, by the addresses it has on the first bridge network of the sandbox, for there it is the
// gateway. (Docker says those of the default bridge, whatever the sandbox is on.) On no bridge network there is no such line.
import type { ExtraHost, NetworkRecord } from "../controller/types.ts";

const HOST_GATEWAY = "host-gateway";

export function resolvedHosts(hosts: readonly ExtraHost[], networks: readonly Pick<NetworkRecord, "driver" | "ipam">[]): ExtraHost[] {
  const bridge = networks.find(({ driver, ipam }) => driver === "bridge" && ipam.some(({ gateway }) => gateway !== null));
  const gateways = (bridge?.ipam ?? []).flatMap(({ gateway }) => gateway ?? []);
  return hosts.flatMap(({ name, address }) =>
    address === HOST_GATEWAY ? gateways.map((one) => ({ name, address: one })) : [{ name, address }],
  );
}
