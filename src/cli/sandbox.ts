// weft sandbox ...
import { type Command, Option } from "commander";
import { WeftError } from "../errors.ts";
import { collect, group, leaf, type Session } from "./command.ts";
import { sandboxDocument, sandboxRow } from "./documents.ts";
import { type EnvironmentFlags, environment, environmentOptions } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { createRequest, portSpecs, type SandboxFlags, sandboxOptions, tellWarnings } from "./sandbox-flags.ts";
import { wholeNumber } from "./values.ts";

export function register(program: Command, host: Session): void {
  const sandbox = group(program, "sandbox", "Make, look at and remove sandboxes; run programs in them");

  sandboxOptions(
    leaf<SandboxFlags>(sandbox, host, {
      usage: "create [name]",
      summary: "Make a sandbox: a network namespace on networks",
      examples: [
        "weft sandbox create --network web a",
        "weft sandbox create --network web,ip=10.1.0.9,alias=db --network back b",
        "weft sandbox create --netns /run/netns/mine --network web c      of a namespace that exists",
      ],
      async run(context, [name], flags) {
        const { sandbox: made } = await context.client.call("sandbox", "Create", createRequest(name, flags, context.host.env));
        tellWarnings(context, made!);
        context.print(`${made!.id}\n`);
      },
    }),
  );

  leaf<{ filter?: string[]; trunc: boolean }>(sandbox, host, {
    usage: "ls",
    summary: "List sandboxes",
    examples: ["weft sandbox ls", "weft sandbox ls --filter network=web --filter status=running -q"],
    async run(context, _, flags) {
      const { sandboxes } = await context.client.call("sandbox", "List", { filters: flags.filter ?? [] });
      const nowMs = Date.now();
      const rows = sandboxes.map((one) => (flags.trunc ? sandboxRow(one, nowMs) : { ...sandboxRow(one, nowMs), ID: one.id }));
      context.list(rows, {
        header: ["SANDBOX ID", "NAME", "NETWORKS", "ADDRESSES", "PORTS", "STATUS", "CREATED"],
        cells: (row) => [row.ID, row.Name, row.Networks, row.Addresses, row.Ports, row.Status, row.RunningFor],
        id: (row) => row.ID,
        whole: [0, 1],
      });
    },
  })
    .alias("list")
    .option("-f, --filter <key=value>", "name, id, network, label or status (created, running, exited); repeatable", collect)
    .option("--no-trunc", "ids whole")
    .addOption(new Option("-a, --all", "Docker's: all are listed anyway").hideHelp());

  leaf(sandbox, host, {
    usage: "inspect <sandbox...>",
    summary: "Show sandboxes whole, as JSON",
    examples: ["weft sandbox inspect a", "weft sandbox inspect -f '{{.NetworkSettings.Networks.web.IPAddress}}' a"],
    async run(context, references) {
      const found: object[] = [];
      try {
        await context.each(references, async (reference) => {
          const { sandbox: one } = await context.client.call("sandbox", "Inspect", { sandbox: reference });
          found.push(sandboxDocument(one!));
        });
      } finally {
        context.inspect(found);
      }
    },
  }).option("-f <format>", "same as --format");

  leaf<{ publishAdd?: string[]; publishRm?: string[] }>(sandbox, host, {
    usage: "update <sandbox>",
    summary: "Publish more or fewer ports of a sandbox; connections by its other ports go on",
    examples: [
      "weft sandbox update --publish-add 8081:81 a",
      "weft sandbox update --publish-rm 80 --publish-add 8090:80 a         its port 80 moves",
      "weft sandbox update --publish-rm 9000-9099/udp a",
    ],
    async run(context, [reference], flags) {
      const changes = { publishAdd: portSpecs(flags.publishAdd), publishRemove: portSpecs(flags.publishRm) };
      const { sandbox: updated } = await context.client.call("sandbox", "Update", { sandbox: reference!, ...changes });
      tellWarnings(context, updated!);
      context.print(`${updated!.name}\n`);
    },
  })
    .option("--publish-add <spec>", "[ip:][hostPort]:port[/tcp|udp|sctp], as of -p, repeatable", collect)
    .option("--publish-rm <spec>", "port or range of the sandbox, or as it was published, repeatable", collect);

  leaf<{ force?: boolean }>(sandbox, host, {
    usage: "rm <sandbox...>",
    summary: "Remove sandboxes, with their endpoints and the namespaces that Weft made for them",
    examples: ["weft sandbox rm a", "weft sandbox rm -f a b"],
    async run(context, references, flags) {
      await context.each(references, async (reference) => {
        try {
          const { sandbox: removed } = await context.client.call("sandbox", "Remove", { sandbox: reference, force: flags.force ?? false });
          context.print(`${removed!.name}\n`);
        } catch (error) {
          if (!flags.force || !(error instanceof WeftError) || error.code !== "NOT_FOUND") throw error;
          // Docker says so and goes on, too.
          context.complain(error);
        }
      });
    },
  })
    .alias("remove")
    .option(
      "-f, --force",
      "also where its program runs, which is killed, or a part can't be taken down properly; no failure where there is none",
    );

  leaf<{ timeout?: string; signal?: string }>(sandbox, host, {
    usage: "stop <sandbox...>",
    summary: "End the programs that run in sandboxes; the sandboxes stay",
    examples: ["weft sandbox stop api", "weft sandbox stop -t 30 -s SIGINT api"],
    async run(context, references, { timeout, signal }) {
      const timeoutSeconds = timeout === undefined ? {} : { timeoutSeconds: wholeNumber("--timeout", timeout) };
      await context.each(references, async (reference) => {
        const request = { sandbox: reference, signal: signal ?? "", ...timeoutSeconds };
        const { sandbox: stopped } = await context.client.call("sandbox", "Stop", request);
        context.print(`${stopped!.name}\n`);
      });
    },
  })
    .option("-t, --timeout <seconds>", "after these it is killed; -1: never (default: 10)")
    .option("-s, --signal <signal>", "what it is sent first (default: SIGTERM)");

  leaf(sandbox, host, {
    usage: "rename <sandbox> <name>",
    summary: "Give a sandbox another name; it answers to that from then on",
    examples: ["weft sandbox rename web-1 web-old"],
    async run(context, [reference, name]) {
      await context.client.call("sandbox", "Rename", { sandbox: reference!, name: name! });
    },
  });

  const exec = leaf<{ tty?: boolean; interactive?: boolean } & EnvironmentFlags>(sandbox, host, {
    usage: "exec <sandbox> <command...>",
    summary: "Run a program in a sandbox's namespace; its exit code is passed on",
    examples: ["weft sandbox exec a -- ping -c1 10.1.0.3", "weft sandbox exec -it -e TERM=dumb a -- sh"],
    async run(context, [reference, ...rest], flags) {
      const argv = rest[0] === "--" ? rest.slice(1) : rest;
      if (argv.length === 0) throw new UsageError("name a program behind --");
      const added = environment(flags, context.host.env);
      const { runInSandbox } = await import("./process.ts");
      const { sandbox: one } = await context.client.call("sandbox", "Inspect", { sandbox: reference! });
      context.close();
      context.host.exitCode = await runInSandbox(one!, argv, {
        terminal: flags.tty ?? false,
        interactive: flags.interactive ?? false,
        environment: added,
      });
    },
  });
  environmentOptions(exec)
    .passThroughOptions()
    .option("-t, --tty", "give the program a terminal of its own")
    .option("-i, --interactive", "it has our standard input, with -t what is typed (default: it has none)");
}
