// The command line: argv in, an exit code out. 0 done, 1 refused or failed with the reason on stderr, 2 usage. `run` passes on the
// program's own code, so whatever fails before there is a program ends with 125 there, as `docker run` does.
//
// A command has to answer before a person notices that it is no C program, so of the groups below only the one that argv
// names is loaded; the others stand in the help by their summaries.
import { Command, CommanderError } from "commander";
import { ConfigError } from "../config/errors.ts";
import { VERSION } from "../config/version.ts";
import { plainBooleans } from "./booleans.ts";
import { type CliHost, prepared, type Session } from "./command.ts";
import { ReportedError, UsageError } from "./errors.ts";

export type { CliHost, DaemonFlags } from "./command.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_RUN_FAILED = 125;

interface Module {
  register(program: Command, host: Session): void;
}

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<Module>;
}

const node = (): Promise<Module> => import("./node.ts");
const diagnostics = (): Promise<Module> => import("./diagnostics.ts");

const COMMANDS: Readonly<Record<string, Entry>> = {
  daemon: { summary: "Run the daemon in the foreground", load: () => import("./daemon.ts") },
  status: { summary: "Whether the daemon serves", load: node },
  version: { summary: "Versions of this program and of the daemon", load: node },
  info: { summary: "Settings in force and the size of things", load: node },
  network: { summary: "Networks: create, ls, inspect, rm, prune, connect, disconnect", load: () => import("./network.ts") },
  sandbox: { summary: "Sandboxes: create, ls, inspect, update, rm, stop, rename, exec", load: () => import("./sandbox.ts") },
  run: { summary: "Make a sandbox and run a program in it", load: () => import("./run.ts") },
  logs: { summary: "What the program of a `run -d` has written", load: () => import("./logs.ts") },
  port: { summary: "Published ports of a sandbox", load: () => import("./port.ts") },
  peer: { summary: "Static peers (VTEPs): add, rm, ls", load: () => import("./peer.ts") },
  cluster: { summary: "Keys of encrypted networks: keys new, keys rotate, keys ls", load: () => import("./cluster.ts") },
  sa: { summary: "Security associations of encrypted networks", load: () => import("./sa.ts") },
  stats: { summary: "Packets and bytes by port, and the engine's counters", load: diagnostics },
  drops: { summary: "Why packets were dropped, and how many", load: diagnostics },
  fdb: { summary: "Where a network's MAC addresses are", load: diagnostics },
  neigh: { summary: "Addresses that the engine answers ARP and ND for", load: diagnostics },
  vtep: { summary: "VTEPs that a network's floods go to", load: diagnostics },
  trace: { summary: "The way of a packet through the graph", load: diagnostics },
  capture: { summary: "Frames as pcapng", load: () => import("./capture.ts") },
  audit: { summary: "Compare the engine's tables with what they should be", load: diagnostics },
};

const OPTIONS_WITH_VALUE = ["--socket", "--format"];

/** The command that argv names, before commander knows any. */
function named(argv: readonly string[]): string | undefined {
  for (let at = 0; at < argv.length; at += 1) {
    const word = argv[at]!;
    if (word === "help") continue;
    if (!word.startsWith("-")) return word;
    if (OPTIONS_WITH_VALUE.includes(word)) at += 1;
  }
  return undefined;
}

async function build(argv: readonly string[], host: Session): Promise<Command> {
  const program = prepared(new Command("weft"))
    .description("Container and VM networking as one userspace daemon")
    .version(VERSION, "-V, --version")
    .configureOutput({
      writeOut: (text) => void host.stdout.write(text),
      writeErr: (text) => void host.stderr.write(text.replace(/^error: /, "weft: ")),
      getOutHelpWidth: () => host.columns ?? 120,
    })
    .showHelpAfterError("(see --help)")
    .addHelpText("after", "\n`weft COMMAND --help` has examples.\n");
  const wanted = named(argv);
  if (argv[0] === "help" && wanted !== undefined && !Object.hasOwn(COMMANDS, wanted) && wanted !== "help") {
    throw new UsageError(`unknown command '${wanted}': \`weft --help\` lists all`);
  }
  const entry = wanted === undefined || !Object.hasOwn(COMMANDS, wanted) ? undefined : COMMANDS[wanted];
  if (entry !== undefined) (await entry.load()).register(program, host);
  else for (const [name, { summary }] of Object.entries(COMMANDS)) program.command(name).description(summary);
  return program;
}

/** What a failure means: its line on stderr and its exit code. */
function conclude(error: unknown, host: CliHost): number {
  if (error instanceof CommanderError) {
    // It has printed its own message. Help that was asked for and --version come by this way too.
    return error.exitCode === 0 ? 0 : EXIT_USAGE;
  }
  if (error instanceof ReportedError) return EXIT_FAILED;
  host.stderr.write(`weft: ${error instanceof Error ? error.message : String(error)}\n`);
  const usage = error instanceof UsageError || (error instanceof ConfigError && error.onCommandLine);
  return usage ? EXIT_USAGE : EXIT_FAILED;
}

/** Runs one command line; answers the exit code. */
export async function runCli(argv: readonly string[], host: CliHost): Promise<number> {
  const session: Session = { ...host, exitCode: 0 };
  try {
    const program = await build(argv, session);
    await program.parseAsync(plainBooleans(argv, program), { from: "user" });
    return session.exitCode;
  } catch (error) {
    const code = conclude(error, host);
    return code !== 0 && named(argv) === "run" ? EXIT_RUN_FAILED : code;
  }
}
