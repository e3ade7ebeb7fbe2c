// The kernel of a guest as one end of an encrypted network: `ip xfrm` and a VXLAN device, told by hand.
import type { EspAlgorithm } from "../../src/datapath/declarations.ts";
import type { TestAssociation } from "./esp-hosts.ts";
import type { KernelGuest } from "./kernel-guest.ts";

const XFRM_ALGORITHMS: Readonly<Record<EspAlgorithm, string>> = {
  "aes-128-gcm": "rfc4106(gcm(aes))",
  "aes-256-gcm": "rfc4106(gcm(aes))",
  "chacha20-poly1305": "rfc7539esp(chacha20,poly1305)",
};

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

export interface KernelEnd {
  /** Underlay addresses: the other host's, and the guest's own. */
  readonly here: string;
  readonly there: string;
  /** The association to the guest, and the one back. */
  readonly ours: TestAssociation;
  readonly theirs: TestAssociation;
  /** Of the kernel's replay detection; without ESN it can be 32 at most in its old form. */
  readonly window: number;
  readonly vni: number;
  readonly mtuBytes: number;
  readonly inner: string;
}

/** What `ip xfrm` and `ip link` are told: both directions, no datagram of ours in the clear. */
export function kernelSide({ here, there, ours, theirs, window, vni, mtuBytes, inner }: KernelEnd): string {
  const state = ({ spi, key, esn, algorithm, transport, icvBytes = 16 }: TestAssociation, from: string, to: string): string =>
    [
      `ip xfrm state add src ${from} dst ${to} proto esp spi ${spi} mode transport`,
      `replay-window ${window} ${esn ? "flag esn" : ""} aead '${XFRM_ALGORITHMS[algorithm]}' 0x${hex(key)} ${icvBytes * 8}`,
      transport === "udp" ? `encap espinudp 4500 4500 ${from.includes(":") ? "::" : "0.0.0.0"}` : "",
    ].join(" ");
  const policy = (from: string, to: string, direction: string): string =>
    `ip xfrm policy add src ${from} dst ${to} proto udp dport 4789 dir ${direction} tmpl src ${from} dst ${to} proto esp mode transport`;
  return [
    "ip xfrm state flush; ip xfrm policy flush",
    state(ours, here, there),
    state(theirs, there, here),
    policy(there, here, "out"),
    policy(here, there, "in"),
    `ip link add vx0 address 02:42:0a:2c:00:03 mtu ${mtuBytes} type vxlan id ${vni} local ${there} remote ${here} dstport 4789`,
    `ip address add ${inner}/24 dev vx0`,
    "ip link set vx0 up",
  ].join("\n");
}

/** Has a program of the guest hold what takes UDP-encapsulated ESP in: a socket, for each family (UDP_ENCAP, UDP_ENCAP_ESPINUDP). */
export async function holdEncapsulation(guest: KernelGuest): Promise<void> {
  const hold = [
    "import socket,time",
    "s=[socket.socket(f,socket.SOCK_DGRAM) for f in (socket.AF_INET,socket.AF_INET6)]",
    "s[1].setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,1)",
    "[(o.setsockopt(socket.IPPROTO_UDP,100,2),o.bind((a,4500))) for o,a in zip(s,('0.0.0.0','::'))]",
    "time.sleep(1e6)",
  ].join(";");
  await guest.run(`/usr/bin/python3 -c "${hold}" &
    until grep -q :1194 /proc/net/udp; do sleep 0.1; done`);
}

/** The guest's counters of trouble that are not zero: a state it lacks, a wrong ICV, a replay, a bare datagram. */
export const kernelTrouble = async (guest: KernelGuest): Promise<string> => (await guest.run("awk '$2 != 0' /proc/net/xfrm_stat")).trim();
