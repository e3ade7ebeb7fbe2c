// Values on the command line: key=value pairs, durations, attachments; and how sizes, times and ids are written for people.
import { UsageError } from "./errors.ts";

/** `-o mtu=1400 -o encrypted` -> { mtu: "1400", encrypted: "" }; the last of a key counts. */
export function pairs(texts: readonly string[] | undefined): Record<string, string> {
  const found = (texts ?? []).map((text): [string, string] => {
    const at = text.indexOf("=");
    return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  });
  return Object.fromEntries(found);
}

/** Like pairs, for options where a key alone says nothing. */
export function strictPairs(option: string, texts: readonly string[] | undefined): Record<string, string> {
  for (const text of texts ?? []) if (text.indexOf("=") < 1) throw new UsageError(`invalid ${option} "${text}": write name=value`);
  return pairs(texts);
}

/** `--label key[=value]`, as Docker checks it. */
export function labels(texts: readonly string[] | undefined): Record<string, string> {
  for (const text of texts ?? []) {
    const key = text.split("=")[0]!.trimStart();
    if (key === "") throw new UsageError(`invalid label '${text}': empty name`);
    if (/\s/.test(key)) throw new UsageError(`label '${key}' contains whitespaces`);
  }
  return pairs(texts);
}

/** `"key=a,b"` in quotes of its own, as Docker's documentation writes a value with commas -> key=a,b */
export const unquoted = (text: string): string => text.replace(/^"(.*)"$/s, "$1");

const UNIT_MS: Readonly<Record<string, number>> = { "": 1000, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** What timers can count to; a longer one would fire at once. */
const DURATION_MAX_MS = 2 ** 31 - 1;

const DURATION = /^(?:\d+(?:\.\d+)?|(?:\d+(?:\.\d+)?(?:ms|s|m|h))+)$/;

/** "10s", "500ms", "1m30s" as Go writes them; a bare number is seconds. Whole milliseconds. */
export function durationMs(text: string): number {
  if (!DURATION.test(text)) throw new UsageError(`invalid duration "${text}": write 10s, 500ms or 1m30s`);
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|)/g)];
  const ms = Math.ceil(parts.reduce((sum, [, digits, unit]) => sum + Number(digits) * UNIT_MS[unit!]!, 0));
  if (ms > DURATION_MAX_MS) throw new UsageError(`invalid duration "${text}": at most ${Math.floor(DURATION_MAX_MS / UNIT_MS.h!)}h`);
  return ms;
}

export interface AttachmentFlags {
  network: string;
  ipv4?: string;
  ipv6?: string;
  mac?: string;
  linkLocalIps?: string[];
  aliases: string[];
  links?: { target: string; alias: string }[];
  gwPriority?: number;
  driverOptions?: Record<string, string>;
}

type AttachmentField = "network" | "ipv4" | "ipv6" | "mac" | "linkLocalIps" | "alias" | "gwPriority" | "driverOption";

const ATTACHMENT_KEYS: Readonly<Record<string, AttachmentField>> = {
  name: "network",
  ip: "ipv4",
  ip6: "ipv6",
  mac: "mac",
  "mac-address": "mac",
  "link-local-ip": "linkLocalIps",
  alias: "alias",
  "gw-priority": "gwPriority",
  "driver-opt": "driverOption",
};

/** `--link SANDBOX[:ALIAS]` */
export function link(text: string): { target: string; alias: string } {
  const [target = "", alias = "", ...rest] = text.split(":");
  if (rest.length > 0 || target === "" || (alias === "" && text.includes(":"))) {
    throw new UsageError(`bad format for links: ${text}: write SANDBOX or SANDBOX:ALIAS`);
  }
  return { target, alias };
}

const NUMBER_MAX = 2 ** 31 - 1;

/** A whole number that may be negative. `option`: for the message. */
export function wholeNumber(option: string, text: string): number {
  const number = /^[+-]?\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (!(Math.abs(number) <= NUMBER_MAX)) throw new UsageError(`invalid ${option} "${text}": give a whole number`);
  return number;
}

/** "a,b=1" -> a, b=1; a part in quotes may have commas: `a,"b=1,2"` -> a, b=1,2. */
function parts(text: string): string[] {
  const found = text.match(/"[^"]*"(?=,|$)|[^,"]+|(?<=^|,)(?=,|$)/g) ?? [];
  if (found.join(",").length !== text.length) throw new UsageError(`invalid --network "${text}": a quoted part is "key=value,value"`);
  return found.map((part) => part.replace(/^"(.*)"$/, "$1"));
}

/** `--network NET[,ip=A][,ip6=A][,mac=M][,alias=X][,link-local-ip=A]...[,gw-priority=N][,driver-opt=K=V]...`, or Docker's long form with name=NET. */
export function attachment(text: string): AttachmentFlags {
  const found: AttachmentFlags = { network: "", aliases: [] };
  for (const [at, part] of parts(text).entries()) {
    const cut = part.indexOf("=");
    const key = cut < 0 ? (at === 0 ? "name" : part) : part.slice(0, cut).trim();
    const value = cut < 0 ? (at === 0 ? part : "") : part.slice(cut + 1);
    const field = Object.hasOwn(ATTACHMENT_KEYS, key) ? ATTACHMENT_KEYS[key] : undefined;
    if (field === undefined)
      throw new UsageError(`invalid --network "${text}": unknown key "${key}"; the keys are ${Object.keys(ATTACHMENT_KEYS).join(", ")}`);
    if (value === "")
      throw new UsageError(`invalid --network "${text}": ${cut < 0 && at === 0 ? "name a network" : `${key} needs a value`}`);
    if (field === "alias") found.aliases.push(value);
    else if (field === "linkLocalIps") found.linkLocalIps = [...(found.linkLocalIps ?? []), value];
    else if (field === "driverOption") found.driverOptions = { ...found.driverOptions, ...strictPairs("driver-opt", [value]) };
    else if (field === "gwPriority") found.gwPriority = wholeNumber(key, value);
    else if (found[field]) throw new UsageError(`invalid --network "${text}": ${key} is given twice`);
    else found[field] = value;
  }
  if (found.network === "") throw new UsageError(`invalid --network "${text}": name a network`);
  if (/^(?:sandbox|container):$/.test(found.network)) throw new UsageError(`invalid --network "${text}": name a sandbox behind the colon`);
  return found;
}

/** "16m", "512k", "1g" or bytes. */
export function byteSize(what: string, text: string): number {
  const [, digits, unit] = /^(\d{1,12})([kmg]?)b?$/i.exec(text) ?? [];
  if (digits === undefined) throw new UsageError(`invalid ${what} "${text}": write bytes, or 512k, 16m, 1g`);
  return Number(digits) * 2 ** (10 * " kmg".indexOf(unit!.toLowerCase() || " "));
}

export const shortId = (id: string): string => id.slice(0, 12);

/** 64-bit figures of the API as numbers where they are exact. */
export function figure(text: string | number): number | string {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : String(text);
}

/** 1234567 -> "1.2M" */
export function amount(value: number | bigint, unit = ""): string {
  let rest = Number(value);
  for (const prefix of ["", "k", "M", "G", "T", "P"]) {
    if (Math.abs(rest) < 1000 || prefix === "P") {
      const digits = prefix === "" || Math.abs(rest) >= 100 ? Math.round(rest).toString() : rest.toFixed(1);
      return `${digits}${unit === "" ? prefix : ` ${prefix}${unit}`}`;
    }
    rest /= 1000;
  }
  return "";
}

/** Seconds as "3d 4h", "5m 6s", "7s". */
export function span(seconds: number): string {
  const units: [string, number][] = [
    ["d", 86400],
    ["h", 3600],
    ["m", 60],
    ["s", 1],
  ];
  const at = units.findIndex(([, length]) => seconds >= length);
  if (at < 0) return "0s";
  let rest = Math.floor(seconds);
  const parts = units.slice(at, at + 2).map(([name, length]) => {
    const count = Math.floor(rest / length);
    rest -= count * length;
    return count === 0 ? "" : `${count}${name}`;
  });
  return parts.filter((part) => part !== "").join(" ");
}
