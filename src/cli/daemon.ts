// weft daemon: flags only. They are settings like those of the file, under the same names, and win over it; what they mean and
// whether they are valid is src/config's business.
import type { Command } from "commander";
import { type Context, collect, leaf, type Session } from "./command.ts";
import { ReportedError, UsageError } from "./errors.ts";

interface Flags {
  readonly config?: string;
  readonly stateDir?: string;
  readonly nodeName?: string;
  readonly underlayAddress?: string[];
  readonly vxlanPort?: string;
  readonly metrics?: string;
  readonly logLevel?: string;
  readonly logFormat?: string;
  readonly set?: string[];
  readonly settings?: boolean;
  readonly purge?: boolean;
  readonly yes?: boolean;
}

/** Asks first: what goes can't be had back. */
async function purge(context: Context, host: Session, flags: Parameters<Session["purgeDaemon"]>[0], yes = false): Promise<void> {
  const what =
    "WARNING! This will remove all networks and sandboxes of this host, their namespaces, interfaces and rules, and the state directory.";
  if (!yes && !(await context.confirmed(what))) {
    context.complain("purge has been cancelled");
    throw new ReportedError();
  }
  context.host.exitCode = await host.purgeDaemon(flags, (line) => context.print(`${line}\n`));
}

export function register(program: Command, host: Session): void {
  leaf<Flags>(program, host, {
    usage: "daemon",
    summary: "Run the daemon in the foreground until SIGTERM or SIGINT",
    examples: [
      "weft daemon",
      "weft daemon --underlay-address 192.0.2.1",
      "weft daemon --config /etc/weft.json --log-level debug",
      "weft daemon --purge                      take everything from this host again, and the state with it",
      "weft daemon --settings                   what the file may have, with defaults",
    ],
    async run(context, _, flags) {
      if (flags.yes && !flags.purge) throw new UsageError("-y answers the question of --purge: give both, or neither");
      if (flags.settings) return context.print((await import("../config/schema.ts")).describeSettings());
      const { config, stateDir, nodeName, underlayAddress, vxlanPort, metrics, logLevel, logFormat, set } = flags;
      const given = { stateDir, nodeName, underlayAddress, vxlanPort, metrics, logLevel, logFormat, set, socket: context.options.socket };
      const settings = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
      const daemon = { ...(config === undefined ? {} : { config }), settings };
      if (flags.purge) return purge(context, host, daemon, flags.yes);
      context.host.exitCode = await host.runDaemon(daemon);
    },
  })
    .option("--config <file>", "settings as JSON; flags win over it")
    .option("--state-dir <folder>", "what survives a restart (default: /var/lib/weft)")
    .option("--node-name <name>", "this node's name (default: the host's name)")
    .option("--underlay-address <address>", "address of this host that VXLAN uses: one IPv4, one IPv6 or both, repeatable", collect)
    .option("--vxlan-port <port>", "UDP port of VXLAN (default: 4789)")
    .option("--metrics <host:port>", "serve Prometheus metrics at http://HOST:PORT/metrics")
    .option("--log-level <level>", "trace, debug, info, warn, error, fatal or silent (default: info)")
    .option("--log-format <format>", "json or text (default: text on a terminal)")
    .option("--set <key=value>", "any other setting by its path: --set datapath.spinUs=0, repeatable", collect)
    .option("--purge", "stop the daemon first; removes every trace of it from this host, and ends")
    .option("-y, --yes", "with --purge: don't ask")
    .option("--settings", "print all settings with their defaults and end");
}
