// The kernel of a guest as one end of an encrypted network: `ip xfrm` and a VXLAN device, told by hand.
import { fileURLToPath } from "node:url";
import type { EspAlgorithm } from "../../src/datapath/declarations.ts";
import type { TestAssociation } from "./esp-hosts.ts";
import type { Host, Lab } from "./hosts.ts";
import { KernelGuest } from "./kernel-guest.ts";

/** Weft's host and the guest, on the link between them and inside. */
export const OUTER = { ipv4: ["10.9.0.1", "10.9.0.2"], ipv6: ["fd09::1", "fd09::2"] } as const;
export const INNER = ["10.44.0.2", "10.44.0.3"] as const;

/** stream.py, in the guest. */
export const STREAM = `/usr/bin/python3 ${fileURLToPath(new URL("./stream.py", import.meta.url))}`;

/** How the two speak to each other. */
export interface Way {
  readonly family: "ipv4" | "ipv6";
  readonly transport: "udp" | "raw";
  readonly esn: boolean;
  readonly algorithm: EspAlgorithm;
  /** The kernel's; one without ESN can have 32 at most in its old form. */
  readonly window: number;
}

/** A guest behind a host of its own, with addresses, programs that take and echo streams inside, and ESP in UDP let in. */
export async function kernelEnd(lab: Lab): Promise<{ readonly underlay: Host; readonly guest: KernelGuest }> {
  const underlay = await lab.host("w");
  const guest = await KernelGuest.start(lab, underlay, "up0");
  await underlay.ip(`address add ${OUTER.ipv4[0]}/24 dev up0\naddress add ${OUTER.ipv6[0]}/64 dev up0 nodad`);
  // An address is taken into use when its kernel has a way to it: both families' at once.
  await guest.run(`ip address add ${OUTER.ipv4[1]}/24 dev eth0; ip address add ${OUTER.ipv6[1]}/64 dev eth0 nodad; ip link set eth0 up`);
  await holdEncapsulation(guest);
  await guest.run(`${STREAM} serve 4 5001 >/run/serve & ${STREAM} echo 4 5002 >/run/echo &
    until grep -q listening /run/serve && grep -q listening /run/echo; do sleep 0.1; done`);
  return { underlay, guest };
}

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
async function holdEncapsulation(guest: KernelGuest): Promise<void> {
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
