// Two hosts with a daemon each and a NAT between, and somebody on the public side:
//
//   a ─── router ═══ b ─── mallory
//   private   masquerades   public
//
// The router gives what a sends by ESP's port a port of our choosing and, where we say so, an address; changing that is what a
// rebinding NAT does. One encrypted network "safe", sandboxes sa and sb; the hosts name themselves a and b. IPv6 has its NAT,
// too, which stands for any change of address.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Daemon } from "./daemon.ts";
import { ADDRESSES } from "./encrypted-hosts.ts";
import type { Host, Lab } from "./hosts.ts";
import { overlay } from "./two-hosts.ts";

export const NAT_UNDERLAYS = {
  ipv4: {
    a: "192.168.77.2",
    b: "10.78.0.2",
    router: ["192.168.77.1", "10.78.0.1"],
    second: "10.78.0.9",
    mallory: ["10.79.0.2", "10.79.0.66"],
  },
  ipv6: { a: "fd77::2", b: "fd78::2", router: ["fd77::1", "fd78::1"], second: "fd78::9", mallory: ["fd79::2", "fd79::66"] },
} as const;

/** ctnetlink: forget all connections (IPCTNL_MSG_CT_DELETE without a tuple). */
const FLUSH = `
import socket, struct
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
s.send(struct.pack("=LHHLLBBH", 20, 0x102, 5, 1, 0, 0, 0, 0))
assert struct.unpack("=l", s.recv(4096)[16:20])[0] == 0
`;

/** One UDP datagram from port 4500, whose bytes are read in hexadecimal. */
const SEND = `
import socket, sys
here, there = sys.argv[1:3]
s = socket.socket(socket.AF_INET6 if ":" in here else socket.AF_INET, socket.SOCK_DGRAM)
s.bind((here, 4500))
for line in sys.stdin: s.sendto(bytes.fromhex(line), (there, 4500))
`;

export interface NatHosts {
  readonly a: Daemon;
  readonly b: Daemon;
  readonly hostB: Host;
  readonly sa: Host;
  readonly sb: Host;
  /** Base64. */
  readonly seed: string;
  /** Forgets all bindings; from now on a is seen at this port, and at this address or else the router's first. */
  bind(port: number, address?: string): Promise<void>;
  /** Sends datagrams to b's port for ESP, from another address than the router's. */
  spoof(...datagrams: readonly Uint8Array[]): Promise<void>;
}

export async function natHosts(lab: Lab, family: keyof typeof NAT_UNDERLAYS, port: number): Promise<NatHosts> {
  const { a: addressA, b: addressB, router: gates, second, mallory } = NAT_UNDERLAYS[family];
  const length = family === "ipv4" ? 24 : 64;
  const [hostA, router, hostB, other] = (await Promise.all(["a", "r", "b", "m"].map((name) => lab.host(name)))) as [Host, Host, Host, Host];
  await lab.wire([hostA, "up0", `${addressA}/${length}`], [router, "in0", `${gates[0]}/${length}`]);
  await lab.wire([router, "out0", `${gates[1]}/${length}`, `${second}/${length} preferred_lft 0`], [hostB, "up0", `${addressB}/${length}`]);
  await lab.wire([hostB, "up1", `${mallory[0]}/${length}`], [other, "up0", `${mallory[1]}/${length}`]);
  await hostA.ip(`route add default via ${gates[0]}`);
  await other.ip(`route add default via ${mallory[0]}`);
  await router.must(["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding"]);
  const ip = family === "ipv4" ? "ip" : "ip6";
  const bind = async (port: number, address?: string): Promise<void> => {
    const snat = `snat to ${ip === "ip" ? address : `[${address}]`}:${port}`;
    const rules = [
      ...[`add table ${ip} nat`, `delete table ${ip} nat`, `add table ${ip} nat`],
      `add chain ${ip} nat post { type nat hook postrouting priority 100; }`,
      `add rule ${ip} nat post oifname "out0" udp sport 4500 ${address === undefined ? `masquerade to :${port}` : snat}`,
      `add rule ${ip} nat post oifname "out0" masquerade`,
    ].join("\n");
    await router.must(["nft", "-f", "-"], { input: rules });
    await router.must(["/usr/bin/python3", "-c", FLUSH]);
  };
  await bind(port);
  const settings = { args: ["--set", "keys.keepaliveS=1"] };
  const [a, b] = await Promise.all([
    Daemon.start(lab, hostA, { underlayAddress: addressA, nodeName: "a", ...settings }),
    Daemon.start(lab, hostB, { underlayAddress: addressB, nodeName: "b", ...settings }),
  ]);
  const seed = await a.must("cluster", "keys", "new");
  const keyFile = join(a.stateDir, "pair.key");
  writeFileSync(keyFile, `${seed}\n`, { mode: 0o600 });
  const side = async (daemon: Daemon, ids: readonly string[], peer: string, name: "sa" | "sb"): Promise<Host> => {
    const [ipv4, ipv6] = ADDRESSES[name];
    await daemon.must("network", "create", "--opt", "encrypted", ...overlay("safe", 5051, 51));
    await daemon.must("peer", "add", "--key-file", keyFile, "--local-id", ids[0]!, "--peer-id", ids[1]!, peer);
    await daemon.must("sandbox", "create", "--network", `safe,ip=${ipv4},ip6=${ipv6}`, name);
    return await daemon.enter(name);
  };
  const sb = await side(b, ["b", "a"], gates[1], "sb");
  const sa = await side(a, ["a", "b"], addressB, "sa");
  const spoof = async (...datagrams: readonly Uint8Array[]): Promise<void> => {
    const input = datagrams.map((one) => `${Buffer.from(one).toString("hex")}\n`).join("");
    await other.must(["/usr/bin/python3", "-c", SEND, mallory[1], addressB], { input });
  };
  return { a, b, hostB, sa, sb, seed, bind, spoof };
}
