// How bridge networks can meet the world: gateway modes and the other options that the host's rules depend on, both families.
import { expect, it } from "vitest";
import { ask, askBriefly, dual, echo, HOST4, HOST6, OUTSIDE4, OUTSIDE6, useRoutedHost } from "../support/routed-host.ts";

const routed = useRoutedHost("file");

const BRIDGE = "com.docker.network.bridge";
const options = (pairs: Record<string, string>): string[] => Object.entries(pairs).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
const mode = (ipv4: string, ipv6 = ipv4): string[] =>
  options({ [`${BRIDGE}.gateway_mode_ipv4`]: ipv4, [`${BRIDGE}.gateway_mode_ipv6`]: ipv6 });
const at = (n: number): string => `ip=10.80.${n}.9,ip6=fd00:80:${n}::9`;
const toSandboxes = (): Promise<string> =>
  routed.outside.ip(`route replace 10.80.0.0/16 via ${HOST4}\nroute replace fd00:80::/32 via ${HOST6}`);
const addresses = async (name: string): Promise<string[]> => {
  const [link] = JSON.parse(await routed.host.must(["ip", "-json", "address", "show", "dev", name]));
  const own = (link.addr_info as { scope: string; local: string }[]).filter(({ scope }) => scope === "global");
  return own.map(({ local }) => local);
};

it("routed: addresses are kept, published ports are open at the sandbox, and the host's are not taken", async () => {
  const { lab, host, outside, daemon } = routed;
  await daemon.must("network", "create", ...dual(1), ...mode("routed"), "web");
  await daemon.must("network", "create", ...dual(2), ...mode("nat", "routed"), "mixed");
  // A program of the host has the port.
  await echo(lab, host, 8080, "tcp", "host");
  await daemon.must("sandbox", "create", "--network", `web,${at(1)}`, "-p", "8080:80", "-p", "90-91:90-91", "a");
  await daemon.must("sandbox", "create", "--network", `mixed,${at(2)}`, "-p", "8081:80", "b");
  const [a, b] = await daemon.enterAll("a", "b");
  await toSandboxes();
  await echo(lab, outside, 7000);
  await echo(lab, a!, [80, 91, 92]);
  await echo(lab, b!, 80);
  expect(await ask(a!, OUTSIDE4, 7000)).toBe("10.80.1.9");
  expect(await ask(a!, OUTSIDE6, 7000)).toBe("fd00:80:1::9");
  expect(await ask(b!, OUTSIDE4, 7000)).toBe(HOST4);
  expect(await ask(b!, OUTSIDE6, 7000)).toBe("fd00:80:2::9");
  for (const [address, client] of [
    ["10.80.1.9", OUTSIDE4],
    ["fd00:80:1::9", OUTSIDE6],
  ] as const) {
    expect(await ask(outside, address, 80)).toBe(client);
    expect(await ask(outside, address, 91)).toBe(client);
    expect(await outside.ping(address)).toBe(3);
  }
  expect(await ask(outside, HOST4, 8080)).toBe("host");
  expect(await ask(outside, HOST4, 8081)).toBe(OUTSIDE4);
  expect(await ask(outside, "fd00:80:2::9", 80)).toBe(OUTSIDE6);
  // Silence takes a second and a half each: all at once.
  const closed: [string, number][] = [
    ["10.80.1.9", 92],
    ["fd00:80:1::9", 92],
    [HOST6, 8081],
    ["10.80.2.9", 80],
  ];
  expect(await Promise.all(closed.map(([address, port]) => askBriefly(outside, address, port)))).toEqual(closed.map(() => ""));
  expect(await daemon.must("port", "a", "80")).toBe("10.80.1.9:80\n[fd00:80:1::9]:80");
  expect(await daemon.must("port", "b", "80")).toBe("0.0.0.0:8081\n[fd00:80:2::9]:80");
  expect(await daemon.must("sandbox", "ls", "-f", "name=a")).toContain("10.80.1.9:90-91->90-91/tcp");
  await daemon.must("sandbox", "update", "--publish-rm", "80", "--publish-rm", "90", "a");
  expect(await askBriefly(outside, "10.80.1.9", 80)).toBe("");
  expect(await ask(outside, "10.80.1.9", 91)).toBe(OUTSIDE4);
});

it("nat-unprotected: whoever has a route reaches all ports; isolated: the host has no address", async () => {
  const { lab, outside, daemon } = routed;
  await daemon.must("network", "create", ...dual(1), ...mode("nat-unprotected"), "open");
  await daemon.must("network", "create", ...dual(2), ...mode("nat"), "shut");
  const isolated = options({ [`${BRIDGE}.name`]: "alone0" });
  await daemon.must("network", "create", ...dual(3), ...mode("isolated"), ...isolated, "--internal", "alone");
  await daemon.must("sandbox", "create", "--network", `open,${at(1)}`, "a");
  await daemon.must("sandbox", "create", "--network", `shut,${at(2)}`, "b");
  await daemon.must("sandbox", "create", "--network", `alone,${at(3)}`, "c");
  await daemon.must("sandbox", "create", "--network", "alone", "d");
  const [a, b, c, d] = await daemon.enterAll("a", "b", "c", "d");
  await toSandboxes();
  await echo(lab, outside, 7000);
  for (const one of [a!, b!, c!]) await echo(lab, one, 99);
  expect(await ask(outside, "10.80.1.9", 99)).toBe(OUTSIDE4);
  expect(await ask(outside, "fd00:80:1::9", 99)).toBe(OUTSIDE6);
  expect(await ask(a!, OUTSIDE4, 7000)).toBe(HOST4);
  expect(await ask(a!, OUTSIDE6, 7000)).toBe(HOST6);
  expect(await askBriefly(outside, "10.80.2.9", 99)).toBe("");
  expect(await addresses("alone0")).toEqual([]);
  // Not even a link-local one, by which its sandboxes would reach the host's programs.
  expect(await routed.host.must(["ip", "-6", "address", "show", "dev", "alone0"])).toBe("");
  expect(await ask(d!, "10.80.3.9", 99)).toMatch(/^10\.80\.3\./);
  expect(await ask(d!, "fd00:80:3::9", 99)).toMatch(/^fd00:80:3::/);
  const refused = await daemon.cli(["network", "create", ...mode("isolated"), "x"]);
  expect(refused.stderr).toContain("gateway mode 'isolated' can only be used for an internal network");
});

it("takes the addresses that host_ipv4, host_ipv6 and host_binding_ipv4 name, and none where inhibit_ipv4 says so", async () => {
  const { lab, host, outside, daemon } = routed;
  await host.ip("address add 192.0.2.77/24 dev eth0\naddress add 2001:db8::77/64 dev eth0 nodad");
  const out = options({ "com.docker.network.host_ipv4": "192.0.2.77", "com.docker.network.host_ipv6": "2001:db8::77" });
  await daemon.must("network", "create", ...dual(1), ...out, ...options({ [`${BRIDGE}.host_binding_ipv4`]: "192.0.2.77" }), "web");
  const bare = options({ [`${BRIDGE}.inhibit_ipv4`]: "true", [`${BRIDGE}.name`]: "bare0", [`${BRIDGE}.enable_ip_masquerade`]: "false" });
  await daemon.must("network", "create", ...dual(2), ...bare, "bare");
  await daemon.must("sandbox", "create", "--network", `web,${at(1)}`, "-p", "8080:80", "a");
  await daemon.must("sandbox", "create", "--network", `bare,${at(2)}`, "b");
  await daemon.must("sandbox", "create", "--network", "bare", "c");
  const [a, b, c] = await daemon.enterAll("a", "b", "c");
  await toSandboxes();
  await echo(lab, outside, 7000);
  await echo(lab, a!, 80);
  await echo(lab, b!, 80);
  expect(await ask(a!, OUTSIDE4, 7000)).toBe("192.0.2.77");
  expect(await ask(a!, OUTSIDE6, 7000)).toBe("2001:db8::77");
  expect(await daemon.must("port", "a", "80")).toBe("192.0.2.77:8080");
  expect(await ask(outside, "192.0.2.77", 8080)).toBe(OUTSIDE4);
  expect(await askBriefly(outside, HOST4, 8080)).toBe("");
  expect(await addresses("bare0")).toEqual(["fd00:80:2::1"]);
  expect(await ask(c!, "10.80.2.9", 80)).toMatch(/^10\.80\.2\./);
  // Without masquerade it goes out as it is.
  expect(await ask(b!, OUTSIDE6, 7000)).toBe("fd00:80:2::9");
});

it("keeps the routes that the host has from routers, and gives back what it switched", async () => {
  const { host, daemon } = routed;
  const accept = (): Promise<string> => host.must(["sysctl", "-n", "net.ipv6.conf.eth0.accept_ra"]);
  await host.must(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1"]);
  await daemon.must("network", "create", "--subnet", "10.80.1.0/24", "--ipv6=false", "four");
  expect(await accept()).toBe("1\n");
  await daemon.must("network", "create", ...dual(2), "web");
  expect(await accept()).toBe("2\n");
  await daemon.kill9();
  await daemon.start();
  await daemon.must("network", "rm", "web");
  expect(await accept()).toBe("1\n");
  expect(await host.must(["sysctl", "-n", "net.ipv6.conf.all.forwarding", "net.ipv4.ip_forward"])).toBe("0\n1\n");
});

/** A chunk by raw sockets: the kernel has no SCTP of its own here, but it tracks and translates it. Scapy computes the CRC32c. */
const SCTP = `
import socket, sys
from scapy.all import SCTP, SCTPChunkInit, SCTPChunkInitAck
role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
v6 = ":" in address
s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, 132); s.settimeout(4)
def read():
    while True:
        data, peer = s.recvfrom(2000)
        bytes_ = data if v6 else data[(data[0] & 15) * 4:]
        packet = SCTP(bytes_); sound = bytes_ == bytes(SCTP(sport=packet.sport, dport=packet.dport, tag=packet.tag)/packet.payload)
        return packet, peer[0], sound
if role == "server":
    print("serving", flush=True)
    while True:
        try: packet, peer, sound = read()
        except TimeoutError: continue
        if packet.dport != port or not sound: continue
        s.sendto(bytes(SCTP(sport=port, dport=packet.sport, tag=packet[SCTPChunkInit].init_tag)/SCTPChunkInitAck(init_tag=2)), (peer, 0))
else:
    s.sendto(bytes(SCTP(sport=5000, dport=port)/SCTPChunkInit(init_tag=7)), (address, 0))
    try:
        packet, peer, sound = read(); print(peer, packet.sport, packet.tag, "sound" if sound else "broken", type(packet.payload).__name__)
    except TimeoutError: print("nothing")`;

it("publishes SCTP where the kernel tracks it", async () => {
  const { lab, outside, daemon } = routed;
  await daemon.must("network", "create", ...dual(1), "web");
  await daemon.must("sandbox", "create", "--network", `web,${at(1)}`, "-p", "8080:80/sctp", "a");
  const a = await daemon.enter("a");
  for (const [own, address] of [
    ["10.80.1.9", HOST4],
    ["fd00:80:1::9", HOST6],
  ] as const) {
    const server = lab.background(a, ["/usr/bin/python3", "-c", SCTP, "server", own, "80"]);
    await server.until(/serving/);
    const answer = await outside.must(["/usr/bin/python3", "-c", SCTP, "client", address, "8080"]);
    expect(answer.trim()).toBe(`${address} 8080 7 sound SCTPChunkInitAck`);
    await server.end("SIGKILL");
  }
  expect(await daemon.must("port", "a", "80/sctp")).toBe("0.0.0.0:8080\n[::]:8080");
});
