// Captures of a link by tcpdump and what Wireshark's dissectors say of them: the oracle for every byte that we put on a wire.
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./daemon.ts";
import { type Background, type Host, type Lab, must } from "./hosts.ts";
import { TCP_PORT, UDP_PORT } from "./traffic.ts";

/**
 * As decoded by tshark: VXLAN on its port, all checksums verified, which is not its default, and random payloads taken for
 * what they are, not for the protocols that once lived on their ports.
 */
function options(port: number): string[] {
  const checks = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"];
  const payloads = [TCP_PORT, TCP_PORT + 10].map((one) => `tcp.port==${one},data`);
  payloads.push(...[UDP_PORT, UDP_PORT + 10].map((one) => `udp.port==${one},data`));
  return [
    "-n",
    ...[`udp.port==${port},vxlan`, ...payloads].flatMap((as) => ["-d", as]),
    ...checks.flatMap((check) => ["-o", `${check}:TRUE`]),
  ];
}

/** Wireshark's group of objections to the sequence of packets, not to any one of them. */
const GROUP_SEQUENCE = 0x02000000;
const SEVERITY_WARNING = 0x600000;
/** What tcpdump says when it is sent SIGUSR1. */
const COUNTS = /: (\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped/;
/** How often it is asked in vain: loopback's packets are counted twice, and those that came before the filter was set, too. */
const IDLE_MAX = 5;
/** Joins several values of one field. */
const AGGREGATOR = "^";

export class LinkCapture {
  readonly file: string;
  readonly #tcpdump: Background;

  private constructor(file: string, tcpdump: Background) {
    this.file = file;
    this.#tcpdump = tcpdump;
  }

  /** Begins to capture; resolves when the socket is open, so that nothing sent afterwards is missed. */
  static async start(lab: Lab, host: Host, interfaceName: string, filter = ""): Promise<LinkCapture> {
    captures += 1;
    const file = join(tmpdir(), `${lab.prefix}-${captures}.pcap`);
    lab.defer(() => rmSync(file, { force: true }));
    const argv = ["tcpdump", "-i", interfaceName, "-n", "-U", "--immediate-mode", "-B", "16384", "-Z", "root", "-w", file];
    const tcpdump = lab.background(host, filter === "" ? argv : [...argv, filter]);
    await tcpdump.until(/listening on/);
    return new LinkCapture(file, tcpdump);
  }

  /** Ends the capture; answers its file, all packets written: what tcpdump has not come to when the signal comes, it leaves out. */
  async stop(): Promise<string> {
    let idle = 0;
    for (let before = -1; idle < IDLE_MAX && !this.#tcpdump.over; ) {
      const { captured, received } = await this.#counts();
      if (captured >= received) break;
      idle = captured === before ? idle + 1 : 0;
      before = captured;
    }
    await this.#tcpdump.end("SIGINT");
    return this.file;
  }

  /** What it has written, and what its socket was given for it. */
  async #counts(): Promise<{ captured: number; received: number }> {
    const from = this.#tcpdump.stderr.length;
    this.#tcpdump.child.kill("SIGUSR1");
    const said = await eventually("tcpdump counts", () => {
      const counts = COUNTS.exec(this.#tcpdump.stderr.slice(from));
      return this.#tcpdump.over ? [] : counts;
    });
    const [, captured, received, dropped] = said.map(Number);
    return { captured: (captured ?? 0) + (dropped ?? 0), received: received ?? 0 };
  }
}
let captures = 0;

/** One row a packet that passes the display filter, with the fields asked for; several values of one field are joined by ",". */
export async function fieldsOf(
  file: string,
  filter: string,
  fields: readonly string[],
  port = 4789,
  aggregator = ",",
): Promise<string[][]> {
  const argv = [
    "tshark",
    ...options(port),
    "-r",
    file,
    "-Y",
    filter,
    "-T",
    "fields",
    "-E",
    `aggregator=${aggregator}`,
    ...fields.flatMap((field) => ["-e", field]),
  ];
  const text = await must(argv);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}

/**
 * What the dissectors object to, as "frame number: message". What TCP's own dynamics cause (a lost or late segment, a reset, a
 * full window) is no fault of an encoding and is left out. `except`: frames of no interest, as a display filter.
 */
export async function expertWarnings(file: string, except = "frame.number == 0", port = 4789): Promise<string[]> {
  const filter = `(_ws.expert.severity >= ${SEVERITY_WARNING} or _ws.malformed) and not (${except})`;
  const fields = ["frame.number", "_ws.expert.severity", "_ws.expert.group", "_ws.expert.message", "_ws.col.Info"];
  const rows = await fieldsOf(file, filter, fields, port, AGGREGATOR);
  return rows.flatMap(([frame, severities, groups, messages, info]) => {
    const [severity, group, message] = [severities!, groups!, messages!].map((values) => values.split(AGGREGATOR));
    const objections = message!.filter((_, i) => Number(severity![i]) >= SEVERITY_WARNING && Number(group![i]) !== GROUP_SEQUENCE);
    return objections.map((objection) => `${frame}: ${objection}: ${info}`);
  });
}
