// The flags that `sandbox create` and `run` have in common.
import type { Command } from "commander";
import type { CreateSandboxRequest } from "../api/generated/weft/v1/CreateSandboxRequest.ts";
import { collect } from "./command.ts";
import { attachment, pairs } from "./values.ts";

export interface SandboxFlags {
  readonly network?: readonly string[];
  readonly netns?: string;
  readonly hostname?: string;
  readonly label?: readonly string[];
}

export function sandboxOptions(command: Command): Command {
  return command
    .option(
      "--network <network>",
      "NET[,ip=A][,ip6=A][,mac=M][,alias=X][,gw-priority=N]..., repeatable; or host, none, sandbox:NAME (its stack)",
      collect,
    )
    .option("--netns <path>", "take this namespace instead of making one")
    .option("--hostname <name>", "its name for itself (default: the beginning of its id)")
    .option("--label <key=value>", "label, repeatable", collect);
}

export function createRequest(name: string | undefined, flags: SandboxFlags, removeOnExit = false): CreateSandboxRequest {
  return {
    name: name ?? "",
    attachments: (flags.network ?? []).map(attachment),
    namespacePath: flags.netns ?? "",
    hostname: flags.hostname ?? "",
    labels: pairs(flags.label),
    removeOnExit,
  };
}
