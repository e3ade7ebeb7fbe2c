// Names and references: what an object may be called, and which one the user means by a name, an id or the beginning of an id.
import { forbidden, invalidArgument, notFound } from "../errors.ts";
import type { Id } from "../records/records.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** Fits a DNS label's users and any file name. */
const NAME_BYTES_MAX = 128;
const SHORT_ID_DIGITS = 12;

/** The network that a sandbox is on which names none. */
export const DEFAULT_BRIDGE = "bridge";
/** Docker's other name for it, where a network is named. */
export const DEFAULT_NETWORK = "default";

/** The network by which sandboxes on overlays reach out (egress.ts). */
export const EGRESS_NETWORK = "weft_gwbridge";
export const isEgress = (network: { readonly name: string }): boolean => network.name === EGRESS_NETWORK;

/** Names that Docker gives to networks of its own. */
const PREDEFINED = new Set([DEFAULT_BRIDGE, DEFAULT_NETWORK, "host", "none"]);

export const isPredefined = (network: { readonly name: string }): boolean => PREDEFINED.has(network.name);

export const shortId = (id: Id): string => id.slice(0, SHORT_ID_DIGITS);

/** The order of lists: by code units, the same on every host and after every restart. */
export const byName = (a: { readonly name: string }, b: { readonly name: string }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0;

/** Throws INVALID_ARGUMENT. `what`: "network name". */
export function checkName(name: string, what: string): void {
  if (!NAME.test(name)) throw invalidArgument(`invalid ${what} ${JSON.stringify(name)}: only [a-zA-Z0-9][a-zA-Z0-9_.-]* are allowed`);
  if (name.length > NAME_BYTES_MAX)
    throw invalidArgument(`invalid ${what} ${name.slice(0, 20)}...: ${name.length} characters, at most ${NAME_BYTES_MAX}`);
}

/** The kernel's __NEW_UTS_LEN. */
const UTS_NAME_MAX = 64;

/** RFC 1123 section 2.1, and what the kernel takes. `what`: "hostname". */
export function checkHostname(hostname: string, what = "hostname"): void {
  const labels = hostname.split(".");
  if (!labels.every((label) => /^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?$/.test(label))) {
    throw invalidArgument(
      `invalid ${what} ${JSON.stringify(hostname)}: give labels of up to 63 letters, digits and hyphens, separated by dots`,
    );
  }
  if (hostname.length > UTS_NAME_MAX) {
    throw invalidArgument(
      `invalid ${what} ${JSON.stringify(hostname)}: ${hostname.length} characters, the kernel takes at most ${UTS_NAME_MAX}`,
    );
  }
}

/** Users neither make these ... */
export function refusePredefined(name: string): void {
  if (PREDEFINED.has(name)) throw forbidden(`operation is not permitted on predefined ${name} network`);
}

/** ... nor remove them. */
export function refusePredefinedRemoval(name: string): void {
  if (PREDEFINED.has(name)) throw forbidden(`${name} is a pre-defined network and cannot be removed`);
}

/**
 * The object that `reference` means: the one with this id, else with this name, else the only one whose id begins so. Throws
 * NOT_FOUND, or INVALID_ARGUMENT if it could be several.
 */
export function resolve<T extends { readonly id: Id }>(
  what: "network" | "sandbox",
  reference: string,
  objects: ReadonlyMap<Id, T>,
  byName: (name: string) => T | undefined,
): T {
  if (reference === "") throw invalidArgument(`invalid ${what} name or ID: value is empty`);
  const exact = objects.get(reference) ?? byName(reference);
  if (exact !== undefined) return exact;
  if (/^[0-9a-f]{1,63}$/.test(reference)) {
    const matches = [...objects.values()].filter(({ id }) => id.startsWith(reference));
    if (matches.length === 1) return matches[0]!;
    if (matches.length > 1) {
      throw invalidArgument(`${what} ${reference} is ambiguous (${matches.length} matches found based on ID prefix); give more digits`);
    }
  }
  throw notFound(`${what} ${reference} not found`);
}
