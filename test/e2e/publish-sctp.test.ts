// SCTP ports, by packets made by hand, for kernels without SCTP sockets: published where the kernel tracks SCTP, else refused.
import { expect, it } from "vitest";
import { Daemon } from "../support/daemon.ts";
import { type Host, Lab } from "../support/hosts.ts";
import { dual, HOST4, HOST6, OUTSIDE4, OUTSIDE6, PYTHON, routedHost } from "../support/routed-host.ts";

/** Prints who sends to which port, by SCTP of one family. */
const listener = (family: 4 | 6): string => `
import socket, struct
s = socket.socket(socket.AF_INET${family === 6 ? "6" : ""}, socket.SOCK_RAW, 132); print("listening", flush=True)
while True:
    packet, peer = s.recvfrom(2048)
    source, target = struct.unpack("!HH", packet[${family === 4 ? 20 : 0}:][:4])
    print(peer[0], target, flush=True)`;

/** An INIT (RFC 9260, section 3.3.2) with the CRC32c that connection tracking looks at. */
const SENDER = `
import socket, struct, sys
def crc(data):
    value = 0xffffffff
    for byte in data:
        value ^= byte
        for _ in range(8): value = value >> 1 ^ (0x82f63b78 if value & 1 else 0)
    return value ^ 0xffffffff
host, port = sys.argv[1], int(sys.argv[2])
head = struct.pack("!HHI", 40000, port, 0); init = struct.pack("!BBHIIHHI", 1, 0, 20, 7, 65536, 1, 1, 9)
packet = head + struct.pack("<I", crc(head + bytes(4) + init)) + init
socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_RAW, 132).sendto(packet, (host, 0))`;

it("leads SCTP to its port, ranges too, with the client's address, by IPv4 and IPv6", async () => {
  const { lab, outside, daemon } = await routedHost();
  try {
    await daemon.must("network", "create", ...dual(1), "web");
    await daemon.must("sandbox", "create", "--network", "web", "-p", "8080:80/sctp", "-p", "9000-9009:9000-9009/sctp", "a");
    expect(await daemon.must("port", "a", "80/sctp")).toBe("0.0.0.0:8080\n[::]:8080");
    const a: Host = await daemon.enter("a");
    for (const [family, address, client] of [
      [4, HOST4, OUTSIDE4],
      [6, HOST6, OUTSIDE6],
    ] as const) {
      const heard = lab.background(a, [...PYTHON, listener(family)]);
      await heard.until(/listening/);
      for (const [asked, target] of [
        [8080, 80],
        [9003, 9003],
      ] as const) {
        await outside.must([...PYTHON, SENDER, address, String(asked)]);
        await heard.until(new RegExp(`^${client.replaceAll(".", "\\.")} ${target}$`, "m"));
      }
    }
    const taken = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "9009:80/sctp", "b"]);
    expect(taken.stderr).toContain("Bind for 0.0.0.0:9009 failed: port is already allocated");
    await daemon.law();
  } finally {
    await lab.dispose();
  }
});

it("is refused with the reason by a kernel that does not track SCTP, and nothing has changed", async () => {
  const lab = new Lab();
  try {
    // What such a kernel lacks in /proc, hidden from the daemon alone.
    const by = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys/net/netfilter && exec "$@"', "sh"];
    const daemon = await Daemon.start(lab, await lab.host("h"), { by });
    await daemon.must("network", "create", ...dual(1), "web");
    const state = await daemon.state();
    for (const spec of ["8080:80/sctp", "80/sctp", "8000-8009:80-89/sctp"]) {
      const refused = await daemon.cli(["sandbox", "create", "--network", "web", "-p", "81:81", "-p", spec, "a"]);
      expect([refused.code, refused.stderr]).toEqual([
        1,
        "weft: SCTP ports can't be published: this kernel does not track SCTP connections (CONFIG_NF_CT_PROTO_SCTP)\n",
      ]);
    }
    expect(await daemon.state()).toBe(state);
    await daemon.law();
  } finally {
    await lab.dispose();
  }
});
