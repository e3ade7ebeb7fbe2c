// Options that mean the same in every driver whose networks are bridge domains of ours.
import { FDB_AGE_S_DEFAULT, FDB_DOMAIN_LIMIT_DEFAULT, FDB_SLOTS_MAX, MTU_MAX, MTU_MIN, MTU_MIN_IPV6 } from "../../wasm/shared/limits.ts";
import { invalidArgument } from "../errors.ts";
import { integer, interfacePrefix, type Option } from "./options.ts";

/** The engine counts ages in 16 bits and keeps some for its sweep. */
const FDB_AGE_S_MAX = 65000;

export const MTU_KEY = "com.docker.network.driver.mtu";

const INTERFACE_PREFIX = "eth";

export const COMMON_OPTIONS = {
  mtuBytes: {
    key: MTU_KEY,
    doc: "Largest IP packet in bytes; unless given what the driver finds fit.",
    fallback: null,
    // Docker's way to say that none is given.
    read: (text, key) => (text === "0" ? null : integer(MTU_MIN, MTU_MAX)(text, key)),
  } as Option<number | null>,
  interfacePrefix: {
    key: "com.docker.network.container_iface_prefix",
    doc: "Interfaces in sandboxes are named by this and a number.",
    fallback: INTERFACE_PREFIX,
    read: (text, key) => (text === "" ? INTERFACE_PREFIX : interfacePrefix(text, key)),
  } as Option<string>,
  fdbAgeS: {
    key: "weft.fdb.age",
    doc: "Seconds after which a learned MAC that sent nothing is forgotten.",
    fallback: FDB_AGE_S_DEFAULT,
    read: integer(1, FDB_AGE_S_MAX),
  } as Option<number>,
  fdbLimit: {
    key: "weft.fdb.limit",
    doc: "MACs that the network may learn, so that a flood of them can't evict those of other networks.",
    fallback: FDB_DOMAIN_LIMIT_DEFAULT,
    read: integer(1, FDB_SLOTS_MAX),
  } as Option<number>,
} as const;

/** Throws INVALID_ARGUMENT if IPv6 can't run on links of that MTU (RFC 8200 section 5). */
export function checkMtu(mtuBytes: number, enableIpv6: boolean): void {
  if (enableIpv6 && mtuBytes < MTU_MIN_IPV6) {
    throw invalidArgument(`MTU ${mtuBytes} is too small: IPv6 needs at least ${MTU_MIN_IPV6}; raise ${MTU_KEY} or leave out --ipv6`);
  }
}
