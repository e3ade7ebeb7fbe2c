// What all commands share: the global options, which are understood before and after the command's name, the context they run
// in, and how results are printed.
//
// `--format table` (the default) is for people, `json` for programs (a list is one JSON array), anything else a Go template
// that is applied to each object; `table {{.A}}\t{{.B}}` is a table of one's own. `-q` prints ids only.
import { Command } from "commander";
import type { ApiClient } from "../api/client.ts";
import { socketPath } from "../config/defaults.ts";
import { WeftError } from "../errors.ts";
import { ReportedError, UsageError } from "./errors.ts";
import { table } from "./table.ts";
import { compileTemplate } from "./template/template.ts";
import { METHODS } from "./template/values.ts";

/** What the process gives the CLI; tests give their own. */
export interface CliHost {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: { write(text: string | Uint8Array): unknown };
  readonly stderr: { write(text: string): unknown };
  readonly stdoutIsTerminal: boolean;
  /** Width of the terminal; undefined: none. */
  readonly columns: number | undefined;
  /** One line of standard input without its end; null: there is none. */
  readLine(): Promise<string | null>;
  /** All of standard input. */
  readInput(): Promise<Buffer>;
  /** Aborted at the first SIGINT or SIGTERM, for commands that run until then. */
  interrupted(): AbortSignal;
  /** Runs the daemon until it has stopped; answers its exit code. */
  runDaemon(flags: DaemonFlags): Promise<number>;
  /** `say` gets a line for each thing that is removed. */
  purgeDaemon(flags: DaemonFlags, say: (line: string) => void): Promise<number>;
}

/** One run of the CLI. */
export interface Session extends CliHost {
  /** What the command ends with, where it didn't fail: a program's own exit code is passed on. */
  exitCode: number;
}

/** `weft daemon`'s command line as it was given; the daemon's configuration makes sense of it. */
export interface DaemonFlags {
  readonly config?: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

export interface GlobalOptions {
  readonly socket?: string;
  readonly format?: string;
  readonly quiet?: boolean;
}

const GLOBAL_NAMES = ["socket", "format", "quiet"] as const;

export interface ListView<T> {
  readonly header: readonly string[];
  cells(row: T): readonly string[];
  /** Printed by -q. */
  id(row: T): string;
  /** Indexes of the columns that hold figures, and of those that hold ids and names: neither are cut. */
  readonly right?: readonly number[];
  readonly whole?: readonly number[];
}

/** "CreatedAt" -> "CREATED AT", "ID" -> "ID" */
const heading = (name: string): string => name.replace(/([a-z])([A-Z])/g, "$1 $2").toUpperCase();

/** "com.example.cost-centre" -> "cost centre": the last part of a label's key, as Docker heads its column. */
const labelHeading = (key: string): string => key.slice(key.lastIndexOf(".") + 1).replace(/[-_]/g, " ");

export class Context {
  readonly host: Session;
  readonly options: GlobalOptions;
  readonly #connect: (socketPath: string) => ApiClient;
  #client: ApiClient | undefined;

  constructor(host: Session, options: GlobalOptions, connect: (socketPath: string) => ApiClient) {
    this.host = host;
    this.options = options;
    this.#connect = connect;
  }

  get quiet(): boolean {
    return this.options.quiet === true;
  }

  get format(): string {
    return this.options.format || "table";
  }

  get socketPath(): string {
    return socketPath(this.options.socket, this.host.env);
  }

  get client(): ApiClient {
    this.#client ??= this.#connect(this.socketPath);
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }

  print(text: string): void {
    this.host.stdout.write(text);
  }

  /** One line on stderr: "weft: ..." */
  complain(reason: unknown): void {
    this.host.stderr.write(`weft: ${reason instanceof Error ? reason.message : String(reason)}\n`);
  }

  /** Whether the user means it; only a plain yes does. `question`: what would happen, without "continue?". */
  async confirmed(question: string): Promise<boolean> {
    this.print(`${question}\nAre you sure you want to continue? [y/N] `);
    const answer = (await this.host.readLine())?.trim().toLowerCase();
    return answer === "y" || answer === "yes";
  }

  list<T extends object>(rows: readonly T[], view: ListView<T>): void {
    if (this.quiet) {
      for (const row of rows) this.print(`${view.id(row)}\n`);
    } else if (this.format === "table") {
      this.print(
        table(
          view.header,
          rows.map((row) => view.cells(row)),
          this.host.columns,
          view.right,
          view.whole,
        ),
      );
    } else if (this.format === "json") {
      this.print(`${JSON.stringify(rows)}\n`);
    } else if (/^table\s/.test(this.format)) {
      this.#ownTable(rows, this.format.replace(/^table\s+/, ""));
    } else {
      const render = compileTemplate(unescaped(this.format));
      for (const row of rows) this.print(`${render(row)}\n`);
    }
  }

  /** One object; `people` is what a table is for lists. */
  one(object: object, people: () => string): void {
    if (this.format === "table") this.print(people());
    else if (this.format === "json") this.print(`${JSON.stringify(object)}\n`);
    else this.print(`${compileTemplate(unescaped(this.format))(object)}\n`);
  }

  /** Whole objects, as `docker inspect` prints them: an array, indented, unless a format is given. */
  inspect(objects: readonly object[]): void {
    if (this.format === "table") this.print(`${JSON.stringify(objects, null, 4)}\n`);
    else if (this.format === "json") this.print(`${JSON.stringify(objects)}\n`);
    else {
      const render = compileTemplate(unescaped(this.format));
      for (const object of objects) this.print(`${render(object)}\n`);
    }
  }

  /** Does `work` for each reference and goes on after a failure: each is reported, and the exit code is 1 in the end. */
  async each(references: readonly string[], work: (reference: string) => Promise<void>): Promise<void> {
    let failed = false;
    for (const reference of references) {
      try {
        await work(reference);
      } catch (error) {
        if (!(error instanceof WeftError)) throw error;
        // What concerns the daemon and not the object would only be said again.
        if (error.code === "UNAVAILABLE" || error.code === "PERMISSION_DENIED") throw error;
        failed = true;
        this.complain(error);
      }
    }
    if (failed) throw new ReportedError();
  }

  #ownTable(rows: readonly object[], template: string): void {
    const render = compileTemplate(unescaped(template));
    const names = new Set([...template.matchAll(/\.(\w+)/g)].map(([, name]) => name!));
    const titles = render({ ...Object.fromEntries([...names].map((name) => [name, heading(name)])), [METHODS]: { Label: labelHeading } });
    const cells = rows.map((row) => render(row).split("\t"));
    this.print(table(titles.split("\t"), cells, this.host.columns));
  }
}

/** A shell's single quotes leave \t and \n as they are typed. */
function unescaped(format: string): string {
  return format.replace(/\\t/g, "\t").replace(/\\n/g, "\n");
}

/** Texts of help are broken into lines down to this width, beside whatever terms. */
const HELP_WIDTH_MIN = 24;

function withGlobals(command: Command): Command {
  return command
    .option("--socket <path>", "the daemon's socket (default: $WEFT_SOCKET, else /run/weft/weft.sock)")
    .option("--format <format>", "table, json or a Go template: '{{.Name}}'")
    .option("-q, --quiet", "print ids only");
}

/** A command prepared like all others: errors are thrown, globals known. */
export function prepared(command: Command): Command {
  return withGlobals(command)
    .exitOverride()
    .enablePositionalOptions()
    .configureHelp({ sortSubcommands: false, showGlobalOptions: false, minWidthToWrap: HELP_WIDTH_MIN });
}

export function group(parent: Command, name: string, summary: string): Command {
  const command = prepared(new Command(name)).description(summary).copyInheritedSettings(parent);
  parent.addCommand(command);
  return command;
}

function globalsOf(command: Command): GlobalOptions {
  const found: Record<string, unknown> = {};
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const options = at.opts() as Record<string, unknown>;
    for (const name of GLOBAL_NAMES) if (options[name] !== undefined && found[name] === undefined) found[name] = options[name];
  }
  // `inspect -f` is Docker's short form of --format; elsewhere -f is a filter or force.
  const { f } = command.opts() as { f?: string };
  return f === undefined ? found : { ...found, format: f };
}

export interface LeafSpec<O> {
  /** As commander reads it: "create <name>", "rm <network...>". */
  readonly usage: string;
  readonly summary: string;
  readonly examples: readonly string[];
  run(context: Context, args: readonly string[], options: O): Promise<void>;
}

/** A command that does something. Options are added to what it answers. */
export function leaf<O extends object>(parent: Command, host: Session, spec: LeafSpec<O>): Command {
  const [name, ...parameters] = spec.usage.split(" ");
  const command = prepared(new Command(name)).description(spec.summary).copyInheritedSettings(parent);
  for (const parameter of parameters) command.argument(parameter);
  command.addHelpText("after", `\nExamples:\n${spec.examples.map((line) => `  ${line}`).join("\n")}\n`);
  command.action(async () => {
    // Half of the start-up time, which help does not need.
    const { ApiClient } = await import("../api/client.ts");
    const context = new Context(host, globalsOf(command), (path) => new ApiClient(path));
    try {
      await spec.run(context, command.args, command.opts() as O);
    } finally {
      context.close();
    }
  });
  parent.addCommand(command);
  return command;
}

/** For options that may be repeated. */
export const collect = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), value];

/** The same where a value may also be a list: "a,b". */
export const collectList = (value: string, before: readonly string[] | undefined): string[] => [...(before ?? []), ...value.split(",")];

/** For arguments that have to be numbers. */
export function integer(what: string, min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new UsageError(`${what} must be a whole number from ${min} to ${max}, not "${value}"`);
    return number;
  };
}
