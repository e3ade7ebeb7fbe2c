// What a network's driver asks of the host's address translation, remembered by record: a changed network has another record, and
// each change of one network or sandbox asks for those of all.
import type { Translation } from "../../drivers/driver.ts";
import type { NetworkRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";

const translations = new WeakMap<NetworkRecord, Translation>();

/** Undefined: the host does not route it. */
export function translationOf(context: Context, network: NetworkRecord): Translation | undefined {
  const known = translations.get(network);
  if (known !== undefined) return known;
  const translation = context.drivers.get(network.driver).translation?.(network);
  if (translation !== undefined) translations.set(network, translation);
  return translation;
}
