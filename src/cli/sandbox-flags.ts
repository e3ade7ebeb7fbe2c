// The flags that `sandbox create` and `run` have in common.
import { type Command, Option } from "commander";
import type { CreateSandboxRequest } from "../api/generated/weft/v1/CreateSandboxRequest.ts";
import type { PortSpec } from "../api/generated/weft/v1/PortSpec.ts";
import type { Sandbox__Output } from "../api/generated/weft/v1/Sandbox.ts";
import { parseExposed, parsePortSpec } from "../net/port-spec.ts";
import { type Context, collect, collectList } from "./command.ts";
import { type EnvironmentFlags, environment, environmentOptions } from "./environment.ts";
import { UsageError } from "./errors.ts";
import { type AttachmentFlags, attachment, labels, link, pairs } from "./values.ts";

/** Docker's name for it. */
const DEFAULT_NETWORK = "default";

export interface SandboxFlags extends EnvironmentFlags {
  readonly network?: readonly string[];
  /** What Docker's older scripts call them. */
  readonly net?: readonly string[];
  readonly netAlias?: readonly string[];
  readonly netns?: string;
  readonly hostname?: string;
  readonly domainname?: string;
  readonly addHost?: readonly string[];
  readonly sysctl?: readonly string[];
  readonly macAddress?: string;
  readonly linkLocalIp?: readonly string[];
  readonly ip?: string;
  readonly ip6?: string;
  readonly label?: readonly string[];
  readonly networkAlias?: readonly string[];
  readonly link?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOpt?: readonly string[];
  /** Docker has both. */
  readonly dnsOption?: readonly string[];
  readonly publish?: readonly string[];
  readonly publishAll?: boolean;
  readonly expose?: readonly string[];
}

export function sandboxOptions(command: Command): Command {
  return (
    environmentOptions(command)
      .option(
        "--network <network>",
        "NET[,KEY=VALUE]... (ip, ip6, mac, link-local-ip, alias, gw-priority, driver-opt), repeatable; or host, none, sandbox:NAME (its stack)",
        collect,
      )
      .addOption(new Option("--net <network>").argParser(collect).hideHelp())
      .addOption(new Option("--net-alias <name>").argParser(collect).hideHelp())
      .option("--network-alias <name>", "another name on the first network, repeatable", collect)
      .option("--link <sandbox[:alias]>", "a name for that sandbox on the first network, for this one alone, repeatable", collect)
      .option("-p, --publish <spec>", "[ip:][hostPort]:port[/tcp|udp|sctp], ports or ranges, repeatable", collect)
      .option("-P, --publish-all", "publish exposed ports at free ports of the host")
      .option("--expose <port>", "port or range that it serves, as 80 or 80-90/udp, repeatable", collect)
      .option("--netns <path>", "take this namespace instead of making one")
      // Docker's short form; help is --help alone there, too.
      .helpOption("--help", "display help for command")
      .option("-h, --hostname <name>", "its name for itself (default: the beginning of its id)")
      .option("--domainname <name>", "behind its hostname")
      .option("--add-host <host:ip>", "line of /etc/hosts, repeatable; host-gateway for the host's own address", collect)
      .option("--sysctl <net.key=value>", "kernel setting of its network namespace, repeatable", collect)
      .option("--ip <address>", "IPv4 address on the first network")
      .option("--ip6 <address>", "IPv6 address on the first network")
      .option("--mac-address <mac>", "MAC address on the first network")
      .option("--link-local-ip <address>", "further address on the first network, of 169.254.0.0/16 or fe80::/10, repeatable", collectList)
      .option("--dns <address>", "DNS server, asked from inside, repeatable (default: the host's)", collect)
      .option("--dns-search <domain>", 'search domain, repeatable; "." for none (default: the host\'s)', collect)
      .option("--dns-opt <option>", "option of resolv.conf, repeatable (default: the host's, and ndots:0)", collect)
      .addOption(new Option("--dns-option <option>").argParser(collect).hideHelp())
      .option("-l, --label <key=value>", "label, repeatable", collect)
  );
}

/** Links, and aliases of their own option, belong to the first network, which is `bridge` where none is named. */
function attachments(flags: SandboxFlags): AttachmentFlags[] {
  const links = (flags.link ?? []).map(link);
  const named = {
    network: [...(flags.network ?? []), ...(flags.net ?? [])],
    networkAlias: [...(flags.networkAlias ?? []), ...(flags.netAlias ?? [])],
  };
  const [first, ...others] = addressed(aliased(named), flags);
  if (links.length === 0) return first === undefined ? [] : [first, ...others];
  return [{ ...(first ?? { network: DEFAULT_NETWORK, aliases: [] }), links }, ...others];
}

const ADDRESSES = [
  { flag: "ip", key: "ipv4", what: "IPv4 address" },
  { flag: "ip6", key: "ipv6", what: "IPv6 address" },
  { flag: "macAddress", key: "mac", what: "MAC address" },
  { flag: "linkLocalIp", key: "linkLocalIps", what: "link-local IP addresses" },
] as const;

function addressed([first, ...others]: AttachmentFlags[], flags: SandboxFlags): AttachmentFlags[] {
  const given = ADDRESSES.filter(({ flag }) => flags[flag] !== undefined);
  for (const { flag, key, what } of given) {
    if (first?.[key] === undefined) continue;
    const option = `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    throw new UsageError(`conflicting options: cannot specify both ${option} and per-network ${what}`);
  }
  if (given.length === 0) return first === undefined ? [] : [first, ...others];
  const addresses = Object.fromEntries(given.map(({ flag, key }) => [key, flags[flag]]));
  return [{ ...(first ?? { network: DEFAULT_NETWORK, aliases: [] }), ...addresses }, ...others];
}

function aliased({ network, networkAlias }: { network: readonly string[]; networkAlias: readonly string[] }): AttachmentFlags[] {
  const [first, ...others] = network.map(attachment);
  if (networkAlias.length === 0) return first === undefined ? [] : [first, ...others];
  if (first === undefined) throw new UsageError("--network-alias is a name on a network: name one by --network");
  if (first.aliases.length > 0) throw new UsageError("conflicting options: cannot specify both --network-alias and per-network alias");
  return [{ ...first, aliases: [...networkAlias] }, ...others];
}

/** "name:address" or "name=address"; IPv6 also in brackets. */
function addHost(text: string): { name: string; address: string } {
  const [, name, address] = /^([^=:]+)[=:](.+)$/.exec(text) ?? [];
  if (name === undefined || address === undefined) throw new UsageError(`bad format for add-host: "${text}": write NAME:ADDRESS`);
  return { name, address: address.replace(/^\[(.*)\]$/, "$1") };
}

function sysctls(texts: readonly string[]): Record<string, string> {
  for (const text of texts) if (text.indexOf("=") < 1) throw new UsageError(`sysctl '${text}' is not allowed: write net.key=value`);
  return pairs(texts);
}

/** What can't be read is a mistake of the command line, not a refusal. */
function written<T>(text: string, read: (text: string) => T): T {
  try {
    return read(text);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function publishMessage(text: string): PortSpec {
  const { protocol, hostAddress, hostPorts, ports } = parsePortSpec(text);
  return {
    protocol,
    hostAddress: hostAddress ?? "",
    hostPortFirst: hostPorts?.first ?? 0,
    hostPortLast: hostPorts?.last ?? 0,
    portFirst: ports.first,
    portLast: ports.last,
  };
}

function exposeMessage(text: string): PortSpec {
  const { protocol, ports } = parseExposed(text);
  return { protocol, portFirst: ports.first, portLast: ports.last };
}

/** Of `-p`, `--publish-add` and `--publish-rm`. */
export const portSpecs = (texts: readonly string[] = []): PortSpec[] => texts.map((text) => written(text, publishMessage));

/** What isn't as its user may believe, on stderr. */
export function tellWarnings(context: Context, { warnings }: Sandbox__Output): void {
  for (const text of warnings) context.complain(`warning: ${text}`);
}

/** `caller`: the environment in which variables are looked up that are given by name. */
export function createRequest(
  name: string | undefined,
  flags: SandboxFlags,
  caller: Readonly<Record<string, string | undefined>>,
): CreateSandboxRequest {
  const dnsOptions = [...(flags.dnsOpt ?? []), ...(flags.dnsOption ?? [])];
  const dns = [flags.dns, flags.dnsSearch, flags.dnsOpt, flags.dnsOption];
  return {
    name: name ?? "",
    attachments: attachments(flags),
    namespacePath: flags.netns ?? "",
    hostname: flags.hostname ?? "",
    domainname: flags.domainname ?? "",
    extraHosts: (flags.addHost ?? []).map(addHost),
    sysctls: sysctls(flags.sysctl ?? []),
    labels: labels(flags.label),
    environment: environment(flags, caller),
    publish: portSpecs(flags.publish),
    expose: (flags.expose ?? []).map((text) => written(text, exposeMessage)),
    publishAll: flags.publishAll ?? false,
    ...(dns.some((values) => values !== undefined)
      ? { dns: { servers: [...(flags.dns ?? [])], search: [...(flags.dnsSearch ?? [])], options: dnsOptions } }
      : {}),
  };
}
