// `-o` of overlay networks.
import { invalidArgument } from "../../errors.ts";
import { COMMON_OPTIONS } from "../common-options.ts";
import { boolean, type Option, type OptionValues, readOptions } from "../options.ts";

const ENCRYPTED_KEY = "encrypted";
export const VNI_KEY = "com.docker.network.driver.overlay.vxlanid_list";

// Specification: 24 bits (RFC 7348 section 5). 0 is left out as by everybody.
const VNI_MIN = 1;
export const VNI_MAX = 2 ** 24 - 1;
/** Docker's: those below are for switches of other people. */
export const VNI_AUTOMATIC_MIN = 4096;

const OVERLAY_OPTIONS = {
  ...COMMON_OPTIONS,
  vnis: {
    key: VNI_KEY,
    doc: "VXLAN network identifiers, comma-separated, one per subnet. The same on every host of the network.",
    fallback: [],
    read: readVnis,
  } as Option<readonly number[]>,
  encrypted: {
    key: ENCRYPTED_KEY,
    doc: "Frames cross the underlay inside ESP only. The same on every host of the network.",
    fallback: false,
    // Docker's has no value: its presence says it.
    read: (text, key) => text === "" || boolean(text, key),
  } as Option<boolean>,
} as const;

export const readOverlayOptions = (given: Readonly<Record<string, string>>): OptionValues<typeof OVERLAY_OPTIONS> =>
  readOptions("overlay", OVERLAY_OPTIONS, given);

function readVnis(text: string, key: string): number[] {
  const vnis = text.split(",").map((part) => {
    const vni = /^\s*\d{1,9}\s*$/.test(part) ? Number(part) : Number.NaN;
    if (!(vni >= VNI_MIN && vni <= VNI_MAX)) {
      throw invalidArgument(
        `invalid VXLAN network identifier ${JSON.stringify(part)} in ${key}: give numbers from ${VNI_MIN} to ${VNI_MAX}`,
      );
    }
    return vni;
  });
  if (new Set(vnis).size !== vnis.length)
    throw invalidArgument(`invalid value ${text} for ${key}: a VXLAN network identifier is in it twice`);
  return vnis;
}
