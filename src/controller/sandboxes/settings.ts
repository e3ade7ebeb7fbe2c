// What a user may set of a sandbox's stack beside its networks: lines of /etc/hosts (--add-host), kernel settings of its network
// namespace (--sysctl), its domain name. Docker's words where it refuses; what it would ignore silently is refused as well.
import { invalidArgument, WeftError } from "../../errors.ts";
import { formatAddress, tryParseAddress } from "../../net/address.ts";
import type { ExtraHost, SandboxRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";
import { checkHostname } from "../names.ts";
import type { CreateSandboxRequest } from "../types.ts";
import { hasResolver } from "./dns-settings.ts";

/** Stands for the host's address on a network of the sandbox. */
const HOST_GATEWAY = "host-gateway";

/** Namespaced, and not of an interface: /proc/sys/net as a namespace of its own sees it. */
const SYSCTL = /^net(?:[./][A-Za-z0-9_:@-]+)+$/;

const SYSCTL_REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: "a network namespace of this kernel has no such setting, `sysctl -a` in a sandbox lists those that it has",
  EINVAL: "the kernel does not take this value",
  EACCES: "the kernel lets nobody change it",
};

export interface StackSettings {
  readonly extraHosts: readonly ExtraHost[];
  readonly sysctls: Readonly<Record<string, string>>;
  readonly domainname: string;
}

/** Throws INVALID_ARGUMENT. `stack`: whose it is. */
export function stackSettings(request: CreateSandboxRequest, stack: "own" | "host's" | "another's"): StackSettings {
  const { extraHosts = [], sysctls = {}, domainname = "" } = request;
  if (stack === "another's") {
    if (extraHosts.length > 0) throw invalidArgument("conflicting options: custom host-to-IP mapping and the network mode");
    if (domainname !== "") throw invalidArgument("conflicting options: domainname and the network mode");
  }
  if (domainname !== "") checkHostname(domainname, "domainname");
  for (const [name, value] of Object.entries(sysctls)) {
    if (!SYSCTL.test(name)) throw invalidArgument(`sysctl '${name}=${value}' is not allowed: only those of net. belong to a sandbox`);
    if (stack !== "own") throw invalidArgument(`sysctl '${name}' not allowed in host network namespace, nor in that of another sandbox`);
  }
  return { extraHosts: extraHosts.map(extraHost), sysctls: { ...sysctls }, domainname };
}

function extraHost({ name, address }: ExtraHost): ExtraHost {
  if (!/^[^\s#]+$/.test(name))
    throw invalidArgument(`bad format for add-host: "${name}:${address}": write NAME:ADDRESS, the name without blanks`);
  if (address === HOST_GATEWAY) return { name, address };
  const parsed = tryParseAddress(address);
  if (parsed === null) throw invalidArgument(`invalid IP address in add-host: "${address}": give an IPv4 or IPv6 address, or host-gateway`);
  return { name, address: formatAddress(parsed) };
}

/** Once its interfaces are there, whose settings may be among them; they stay as long as the namespace. */
export async function applySysctls(context: Context, sandbox: SandboxRecord): Promise<void> {
  if (Object.keys(sandbox.sysctls).length === 0 || !hasResolver(sandbox)) return;
  try {
    await context.namespaces.writeSysctls(sandbox.namespacePath, sandbox.sysctls);
  } catch (error) {
    throw sysctlsRefused(`sandbox ${sandbox.name}`, error);
  }
}

/** `whose`: "sandbox web". */
export function sysctlsRefused(whose: string, error: unknown): WeftError {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const remedy = SYSCTL_REMEDIES[code];
  const why = remedy === undefined ? message : `${message}; ${remedy}`;
  return new WeftError("INVALID_ARGUMENT", `cannot set sysctls of ${whose}: ${why}`, { cause: error });
}
