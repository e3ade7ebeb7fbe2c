// Which of /etc/resolv.conf, /etc/hosts and /etc/hostname a sandbox has of its own, in a folder of the state directory; in place of
// the others its programs see the host's. With a stack of its own it has all three. On the host's stack it has a hostname, and of
// the others those that options change; Docker gives it copies of the rest, here they are the host's themselves, so that a
// resolv.conf that changes with a lease or a VPN is not a stale one. Who shares another's stack has none: it sees what that one sees.
import { OWN_NAMESPACE } from "../paths.ts";
import type { SandboxRecord } from "./records.ts";

export interface OwnFiles {
  readonly resolvConf: boolean;
  readonly hosts: boolean;
  readonly hostname: boolean;
}

export const onHostStack = ({ namespacePath }: Pick<SandboxRecord, "namespacePath">): boolean => namespacePath === OWN_NAMESPACE;

type Settings = Pick<SandboxRecord, "namespacePath" | "joinedTo" | "dns" | "extraHosts">;

export function ownFiles(sandbox: Settings): OwnFiles {
  const { joinedTo, dns, extraHosts } = sandbox;
  if (joinedTo !== null) return { resolvConf: false, hosts: false, hostname: false };
  if (!onHostStack(sandbox)) return { resolvConf: true, hosts: true, hostname: true };
  const { servers, search, options } = dns;
  return { resolvConf: servers.length + search.length + options.length > 0, hosts: extraHosts.length > 0, hostname: true };
}

export const hasOwnFiles = (sandbox: Settings): boolean => Object.values(ownFiles(sandbox)).includes(true);
