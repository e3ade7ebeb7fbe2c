// `-o` of macvlan networks, and what `parent` says: an interface of the host, or a VLAN of one.
import { invalidArgument } from "../../errors.ts";
import { COMMON_OPTIONS } from "../common-options.ts";
import { type Option, type OptionValues, readOptions } from "../options.ts";

const PARENT_KEY = "parent";
export const MODE_KEY = "macvlan_mode";

const MODES = ["bridge", "private", "vepa", "passthru"] as const;
export type Mode = (typeof MODES)[number];

const VID_MIN = 1;
const VID_MAX = 4094;

const MACVLAN_OPTIONS = {
  mtuBytes: COMMON_OPTIONS.mtuBytes,
  interfacePrefix: COMMON_OPTIONS.interfacePrefix,
  parent: {
    key: PARENT_KEY,
    doc: "Interface of the host that the network is on, or NAME.VLAN for a VLAN of it; none: sandboxes reach each other only.",
    fallback: "",
    read: (text) => text,
  } as Option<string>,
  mode: {
    key: MODE_KEY,
    doc: "bridge: sandboxes reach each other directly; vepa: by way of the parent's switch; private: not at all; passthru: one sandbox has the parent.",
    fallback: "bridge",
    read: readMode,
  } as Option<Mode>,
} as const;

export const readMacvlanOptions = (given: Readonly<Record<string, string>>): OptionValues<typeof MACVLAN_OPTIONS> =>
  readOptions("macvlan", MACVLAN_OPTIONS, given);

function readMode(text: string): Mode {
  const mode = text === "" ? "bridge" : MODES.find((one) => one === text);
  if (mode !== undefined) return mode;
  throw invalidArgument(
    `requested macvlan mode '${text}' is not valid, 'bridge' mode is the macvlan driver default: give one of ${MODES.join(", ")}`,
  );
}

export interface Parent {
  readonly interfaceName: string;
  /** 0: what is untagged there. */
  readonly vid: number;
}

/** `interfaces`: those of the host. One that is called NAME.VLAN is taken as it is. */
export function readParent(text: string, interfaces: readonly string[]): Parent {
  if (text === "lo") throw invalidArgument("loopback interface is not a valid macvlan parent link");
  if (interfaces.includes(text)) return { interfaceName: text, vid: 0 };
  const others = interfaces.filter((name) => name !== "lo").join(", ");
  if (!text.includes(".")) {
    throw invalidArgument(`-o parent interface was not found on the host: ${text}; give one of ${others}, or NAME.VLAN for a VLAN of one`);
  }
  const parts = text.split(".");
  if (parts.length !== 2) {
    throw invalidArgument(`required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received ${text}`);
  }
  const [interfaceName = "", vlan = ""] = parts;
  if (!/^\d{1,9}$/.test(vlan)) throw invalidArgument(`unable to parse a valid vlan id from: ${vlan} (ex. eth0.10 for vlan 10)`);
  if (!interfaces.includes(interfaceName) || interfaceName === "lo") {
    throw invalidArgument(`-o parent interface was not found on the host: ${interfaceName}; give one of ${others}`);
  }
  const vid = Number(vlan);
  if (vid < VID_MIN || vid > VID_MAX) throw invalidArgument(`vlan id must be between ${VID_MIN}-${VID_MAX}, received: ${vid}`);
  return { interfaceName, vid };
}
