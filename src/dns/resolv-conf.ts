// resolv.conf(5): the host's, which says whom to ask, and the sandbox's, which names us.
import { tryParseAddress } from "../net/address.ts";

export interface ResolvConf {
  /** Addresses; IPv6 ones may have a zone ("fe80::1%eth0"). */
  readonly servers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** Never fails: what can't be read is passed over, as libc does. The last `search` or `domain` line counts, all options do. */
export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  const options: string[] = [];
  let search: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...values] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    const [first] = values;
    if (first === undefined) continue;
    if (keyword === "nameserver" && tryParseAddress(first.replace(/%.*$/, "")) !== null) servers.push(first);
    else if (keyword === "options") options.push(...values);
    else if (keyword === "search") search = values;
    else if (keyword === "domain") search = [first];
  }
  return { servers, search: search.filter((domain) => domain !== "."), options };
}

export function formatResolvConf({ servers, search, options }: ResolvConf): string {
  const lines = servers.map((server) => `nameserver ${server}`);
  if (search.length > 0) lines.push(`search ${search.join(" ")}`);
  if (options.length > 0) lines.push(`options ${options.join(" ")}`);
  return `${lines.join("\n")}\n`;
}
