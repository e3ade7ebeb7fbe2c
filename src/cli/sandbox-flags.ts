// The flags that `sandbox create` and `run` have in common.
import type { Command } from "commander";
import type { CreateSandboxRequest } from "../api/generated/weft/v1/CreateSandboxRequest.ts";
import { collect } from "./command.ts";
import { UsageError } from "./errors.ts";
import { type AttachmentFlags, attachment, pairs } from "./values.ts";

export interface SandboxFlags {
  readonly network?: readonly string[];
  readonly netns?: string;
  readonly hostname?: string;
  readonly label?: readonly string[];
  readonly networkAlias?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOpt?: readonly string[];
}

export function sandboxOptions(command: Command): Command {
  return command
    .option(
      "--network <network>",
      "NET[,ip=A][,ip6=A][,mac=M][,alias=X][,gw-priority=N]..., repeatable; or host, none, sandbox:NAME (its stack)",
      collect,
    )
    .option("--network-alias <name>", "another name on the first network, repeatable", collect)
    .option("--netns <path>", "take this namespace instead of making one")
    .option("--hostname <name>", "its name for itself (default: the beginning of its id)")
    .option("--dns <address>", "DNS server, asked from inside, repeatable (default: the host's)", collect)
    .option("--dns-search <domain>", 'search domain, repeatable; "." for none (default: the host\'s)', collect)
    .option("--dns-opt <option>", "option of resolv.conf, repeatable (default: the host's, and ndots:0)", collect)
    .option("--label <key=value>", "label, repeatable", collect);
}

/** Aliases of their own option belong to the first network. */
function attachments({ network = [], networkAlias = [] }: SandboxFlags): AttachmentFlags[] {
  const [first, ...others] = network.map(attachment);
  if (networkAlias.length === 0) return first === undefined ? [] : [first, ...others];
  if (first === undefined) throw new UsageError("--network-alias is a name on a network: name one by --network");
  if (first.aliases.length > 0) throw new UsageError("conflicting options: cannot specify both --network-alias and per-network alias");
  return [{ ...first, aliases: [...networkAlias] }, ...others];
}

export function createRequest(name: string | undefined, flags: SandboxFlags, removeOnExit = false): CreateSandboxRequest {
  const dns = [flags.dns, flags.dnsSearch, flags.dnsOpt];
  return {
    name: name ?? "",
    attachments: attachments(flags),
    namespacePath: flags.netns ?? "",
    hostname: flags.hostname ?? "",
    labels: pairs(flags.label),
    removeOnExit,
    ...(dns.some((values) => values !== undefined)
      ? { dns: { servers: [...(flags.dns ?? [])], search: [...(flags.dnsSearch ?? [])], options: [...(flags.dnsOpt ?? [])] } }
      : {}),
  };
}
