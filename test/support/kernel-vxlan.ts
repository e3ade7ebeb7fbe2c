// The other host as any Linux machine would be: the kernel's VXLAN device and a bridge, and behind it a namespace in the
// place of a container. It is the oracle of the interop tests: no code of ours takes part in it.
import type { Host, Lab } from "./hosts.ts";

export interface KernelVtepOptions {
  readonly vni: number;
  readonly local: string;
  readonly remote: string;
  /** 4789 unless given. */
  readonly port?: number;
  readonly mtuBytes: number;
  /** Addresses of the guest with prefix lengths. */
  readonly guestAddresses: readonly string[];
  readonly guestMac: string;
  /** As iproute2 spells it: "udpcsum", "noudpcsum", "udp6zerocsumtx", "udp6zerocsumrx". */
  readonly checksums?: readonly string[];
}

/** Name of the VXLAN device in its host. */
const VXLAN_DEVICE = "vx0";
/** Name of the guest's interface. */
export const GUEST_DEVICE = "eth0";

function vxlanCommand(options: KernelVtepOptions): string {
  const { vni, local, remote, port = 4789, checksums = [] } = options;
  return [`link add ${VXLAN_DEVICE} type vxlan id ${vni} local ${local} remote ${remote} dstport ${port}`, ...checksums].join(" ");
}

function plug(options: KernelVtepOptions): string {
  return [`link set ${VXLAN_DEVICE} mtu ${options.mtuBytes} master br0`, `link set ${VXLAN_DEVICE} up`].join("\n");
}

/** Builds it in `host`; answers the guest. */
export async function kernelVtep(lab: Lab, host: Host, guestName: string, options: KernelVtepOptions): Promise<Host> {
  const guest = await lab.host(guestName);
  await host.ip(
    [
      "link add br0 type bridge mcast_snooping 0 stp_state 0",
      `link add guest mtu ${options.mtuBytes} type veth peer name ${GUEST_DEVICE} address ${options.guestMac} mtu ${options.mtuBytes} netns ${guest.path}`,
      "link set guest master br0",
      "link set guest up",
      "link set br0 up",
      vxlanCommand(options),
      plug(options),
    ].join("\n"),
  );
  await guest.ip(
    [...options.guestAddresses.map((a) => `address add ${a} dev ${GUEST_DEVICE} nodad`), `link set ${GUEST_DEVICE} up`].join("\n"),
  );
  return guest;
}

/** Makes the VXLAN device anew, with other checksum settings; bridge and guest stay. */
export async function replaceVxlanDevice(host: Host, options: KernelVtepOptions): Promise<void> {
  await host.ip([`link del ${VXLAN_DEVICE}`, vxlanCommand(options), plug(options)].join("\n"));
}
