// weft port SANDBOX [PORT[/PROTOCOL]]: Docker's lines for people, and rows where a format is asked for.
import type { Command } from "commander";
import { WeftError } from "../errors.ts";
import { leaf, type Session } from "./command.ts";
import { UsageError } from "./errors.ts";
import { bindings, bracketed } from "./port-text.ts";

const PORT = /^\d{1,5}(\/(tcp|udp|sctp))?$/i;

export function register(program: Command, host: Session): void {
  leaf(program, host, {
    usage: "port <sandbox> [port]",
    summary: "Published ports of a sandbox, or where one of them is reached",
    examples: ["weft port web", "weft port web 80", "weft port web 53/udp", "weft port --format '{{.HostIp}} {{.HostPort}}' web 80"],
    async run(context, [reference, port]) {
      if (port !== undefined && !PORT.test(port))
        throw new UsageError(`invalid port (${port}): give a number, or with its protocol: 80/tcp`);
      const { sandbox } = await context.client.call("sandbox", "Inspect", { sandbox: reference! });
      const all = bindings(sandbox!);
      const wanted = port === undefined || port.includes("/") ? port?.toLowerCase() : `${port}/tcp`;
      const found = all.filter(({ key }) => wanted === undefined || key === wanted);
      if (port !== undefined && found.length === 0)
        throw new WeftError("NOT_FOUND", `No public port '${port}' published for ${sandbox!.name}`);
      if (context.format !== "table") {
        const rows = found.map(({ key, HostIp, HostPort }) => ({ Port: key, HostIp, HostPort }));
        return context.list(rows, { header: [], id: ({ Port }) => Port, cells: () => [] });
      }
      if (port === undefined) {
        for (const { key, HostIp, HostPort } of all) context.print(`${key} -> ${bracketed(HostIp)}:${HostPort}\n`);
        return;
      }
      for (const { HostIp, HostPort } of found) context.print(`${bracketed(HostIp)}:${HostPort}\n`);
    },
  });
}
