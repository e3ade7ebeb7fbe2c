// A host with Weft in its middle, an outside host beside it, and programs that tell who reached whom.
//
//   out (192.0.2.2, 2001:db8::2) ── eth0 (192.0.2.1, 2001:db8::1) weft: daemon, sandboxes

import { afterAll, afterEach, beforeAll, beforeEach } from "vitest";
import { ordered } from "../../src/nat/nft.ts";
import { Daemon, type DaemonOptions } from "./daemon.ts";
import { type Background, type Host, Lab } from "./hosts.ts";

export const HOST4 = "192.0.2.1";
export const OUTSIDE4 = "192.0.2.2";
export const HOST6 = "2001:db8::1";
export const OUTSIDE6 = "2001:db8::2";

/** The system's, without its site packages: some start a program of their own to find one, which takes ten times as long. */
export const PYTHON: readonly string[] = ["/usr/bin/python3", "-I", "-S", "-c"];

export type Kind = "tcp" | "udp";

export interface RoutedHost {
  readonly lab: Lab;
  readonly host: Host;
  readonly outside: Host;
  readonly daemon: Daemon;
  /** Rules of the host before the daemon came; a table of somebody else's is among them. */
  readonly before: string;
  /** All rules of the host now, without counters. */
  rules(): Promise<string>;
}

export async function routedHost(options: Pick<DaemonOptions, "env" | "args"> = {}): Promise<RoutedHost> {
  const lab = new Lab();
  try {
    const [host, outside] = [await lab.host("weft"), await lab.host("out")];
    await lab.wire([host, "eth0", `${HOST4}/24`, `${HOST6}/64`], [outside, "eth0", `${OUTSIDE4}/24`, `${OUTSIDE6}/64`]);
    await host.must(["nft", "add table ip mine; add chain ip mine c { type filter hook input priority 5; }"]);
    const rules = async (): Promise<string> => ordered(await host.must(["nft", "-s", "list", "ruleset"]));
    const before = await rules();
    // The predefined bridge would keep rules and forwarding when all else is gone.
    const args = [...(options.args ?? []), "--set", "bridge.enabled=false"];
    return { lab, host, outside, before, rules, daemon: await Daemon.start(lab, host, { ...options, args }) };
  } catch (error) {
    await lab.dispose();
    throw error;
  }
}

/**
 * A routed host for the tests of a file. Per "file": one for all, and after each test its programs have ended and its sandboxes
 * and networks are gone; addresses and routes that a test gave to hosts stay. Per "test": a new one each time.
 */
export function useRoutedHost(per: "file" | "test"): RoutedHost {
  let world: RoutedHost | undefined;
  const make = async (): Promise<void> => {
    world = await routedHost();
  };
  const dispose = async (): Promise<void> => world?.lab.dispose();
  if (per === "test") {
    beforeEach(make);
    afterEach(dispose);
  } else {
    beforeAll(make);
    afterEach(async () => {
      await world?.lab.endPrograms();
      await world?.daemon.clear();
    });
    afterAll(dispose);
  }
  return {
    get lab() {
      return world!.lab;
    },
    get host() {
      return world!.host;
    },
    get outside() {
      return world!.outside;
    },
    get daemon() {
      return world!.daemon;
    },
    get before() {
      return world!.before;
    },
    rules: () => world!.rules(),
  };
}

/** Subnets of both families for the n-th network. */
export const dual = (n: number): string[] => ["--subnet", `10.80.${n}.0/24`, "--subnet", `fd00:80:${n}::/64`];

/** A server that tells each client its address, or `word`, in the namespace; TCP or UDP, both families, on some ports. */
export async function echo(lab: Lab, where: Host, ports: number | readonly number[], kind: Kind = "tcp", word = ""): Promise<Background> {
  const program = `
import socketserver, socket, sys, threading
class H(socketserver.BaseRequestHandler):
    def handle(self):
        answer = ("${word}" or self.client_address[0].removeprefix("::ffff:")).encode()
        if "${kind}" == "tcp": self.request.sendall(answer)
        else: self.request[1].sendto(answer, self.client_address)
class S(socketserver.Threading${kind.toUpperCase()}Server):
    address_family = socket.AF_INET6; allow_reuse_address = True; daemon_threads = True
    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); super().server_bind()
servers = [S(("::", port), H) for port in ${JSON.stringify([ports].flat())}]
for s in servers: threading.Thread(target=s.serve_forever).start()
print("serving", flush=True)`;
  const server = lab.background(where, [...PYTHON, program]);
  await server.until(/serving/);
  return server;
}

/** As ask, for what nobody is to answer, or what is asked again: gives up sooner. */
export const askBriefly = (from: Host, address: string, port: number, kind: Kind = "tcp"): Promise<string> =>
  ask(from, address, port, kind, 1.5);

/** What the server said; "" if it was not reached: a busy machine takes its time. */
export async function ask(from: Host, address: string, port: number, kind: Kind = "tcp", waitS = 6): Promise<string> {
  const program = `
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
s = socket.socket(family, socket.SOCK_${kind === "tcp" ? "STREAM" : "DGRAM"}); s.settimeout(${waitS})
try:
    s.connect(socket.getaddrinfo(sys.argv[1], int(sys.argv[2]), family)[0][4])
    if "${kind}" == "udp": s.send(b"x")
    print(s.recv(99).decode())
except OSError: pass`;
  return (await from.must([...PYTHON, program, address, String(port)])).trim();
}
