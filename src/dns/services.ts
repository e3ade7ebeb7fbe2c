// Names of services: which port `_http._tcp` means. By the host's /etc/services where it has one, with the commonest built in.
import { readFileSync } from "node:fs";

const PATH = "/etc/services";

const COMMON: readonly (readonly [name: string, port: number, protocols: readonly string[]])[] = [
  ["ssh", 22, ["tcp"]],
  ["smtp", 25, ["tcp"]],
  ["domain", 53, ["tcp", "udp"]],
  ["http", 80, ["tcp"]],
  ["ntp", 123, ["udp"]],
  ["ldap", 389, ["tcp", "udp"]],
  ["https", 443, ["tcp", "udp"]],
  ["sip", 5060, ["tcp", "udp"]],
  ["mysql", 3306, ["tcp"]],
  ["postgresql", 5432, ["tcp"]],
  ["amqp", 5672, ["tcp", "sctp"]],
  ["redis", 6379, ["tcp"]],
];

/** Of services(5): "http 80/tcp www". Aliases count as names; what can't be read is passed over. */
export function parseServices(text: string): Map<string, number> {
  const found = new Map(COMMON.flatMap(([name, port, protocols]) => protocols.map((protocol) => [`${name}/${protocol}`, port] as const)));
  for (const line of text.split("\n")) {
    const [name, target, ...aliases] = line.replace(/#.*$/, "").trim().split(/\s+/);
    const [, port, protocol] = /^(\d{1,5})\/(\w+)$/.exec(target ?? "") ?? [];
    if (name === undefined || port === undefined || Number(port) > 65535) continue;
    for (const one of [name, ...aliases]) found.set(`${one.toLowerCase()}/${protocol}`, Number(port));
  }
  return found;
}

let known: Map<string, number> | undefined;

/** Null: nothing is called so. */
export function servicePort(name: string, protocol: string): number | null {
  known ??= parseServices(readOrNothing());
  return known.get(`${name}/${protocol}`) ?? null;
}

function readOrNothing(): string {
  try {
    return readFileSync(PATH, "utf8");
  } catch {
    return "";
  }
}
