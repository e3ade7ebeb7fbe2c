// What the user asks of a sandbox's resolver, and which sandboxes have one: those with a network stack of their own. Who
// shares another's stack shares its resolver and its files; who has the host's asks the host's servers, or those of its own
// resolv.conf (records/own-files.ts).
import { invalidArgument } from "../../errors.ts";
import { formatAddress, tryParseAddress } from "../../net/address.ts";
import { OWN_NAMESPACE } from "../../paths.ts";
import type { DnsSettings, SandboxRecord } from "../../records/records.ts";
import type { CreateSandboxRequest } from "../types.ts";

const DOMAIN = /^(?=.{1,253}$)[a-zA-Z0-9_](?:[a-zA-Z0-9_-]{0,62})(?:\.[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62})*\.?$/;

export const hasResolver = ({ joinedTo, namespacePath }: Pick<SandboxRecord, "joinedTo" | "namespacePath">): boolean =>
  joinedTo === null && namespacePath !== OWN_NAMESPACE;

/** Throws INVALID_ARGUMENT for what would not stand in a resolv.conf as it was meant. */
export function dnsSettings({ dns }: Pick<CreateSandboxRequest, "dns">): DnsSettings {
  const { servers = [], search = [], options = [] } = dns ?? {};
  for (const domain of search) {
    if (domain !== "." && !DOMAIN.test(domain)) {
      throw invalidArgument(`${domain} is not a valid domain: give a search domain (example.com), or "." for none`);
    }
  }
  for (const option of options) {
    if (!/^[^\s#;]+$/.test(option)) {
      throw invalidArgument(`invalid DNS option ${JSON.stringify(option)}: give one word of resolv.conf(5), such as ndots:2`);
    }
  }
  return { servers: servers.map(serverAddress), search: [...search], options: [...options] };
}

/** Throws INVALID_ARGUMENT: there is no resolver of its own that could be set. */
export function refuseDns({ dns }: Pick<CreateSandboxRequest, "dns">): void {
  if (dns !== undefined && Object.values(dns).some((values) => values.length > 0)) {
    throw invalidArgument("conflicting options: dns and the network mode");
  }
}

function serverAddress(text: string): string {
  const address = tryParseAddress(text);
  if (address === null) throw invalidArgument(`${text} is not an ip address: give a DNS server's (10.0.0.53, fd00::53)`);
  return formatAddress(address);
}
