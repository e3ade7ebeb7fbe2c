// The security policy: by which association a VTEP is sent to. Which traffic must be protected at all is the bridge domain's
// to say (DOMAIN_FLAG_ENCRYPTED); with no association here it is dropped. Written by the control plane; read by esp-encrypt.
//
//   0    2         8
//   ┌────┬─────────┐
//   │ SA │         │   one entry a VTEP, by its index; SA 0: none
//   └────┴─────────┘
//
// One field, that changes between two batches: a new association takes over whole, and no packet is sent by neither.
//
import { SPD_ENTRY_LENGTH, SPD_SA } from "../shared/abi";
import { SPD, SPD_LENGTH } from "../shared/layout";
import { VTEP_MAX } from "../shared/limits";

const ENTRY: usize = SPD_ENTRY_LENGTH;
if (VTEP_MAX * SPD_ENTRY_LENGTH > SPD_LENGTH) ERROR("SPD outgrows its region");

/** The association that `vtep`, an index below VTEP_MAX, is sent to by; 0: none. */
// @ts-ignore: decorator
@inline export function outbound(vtep: u32): u32 {
  return load<u16>(<usize>SPD + <usize>vtep * ENTRY, SPD_SA);
}

export function set(vtep: u32, sa: u32): void {
  store<u16>(<usize>SPD + <usize>vtep * ENTRY, <u16>sa, SPD_SA);
}

/** No VTEP is sent to by `sa` any more. */
export function forget(sa: u32): void {
  for (let vtep: u32 = 1; vtep < <u32>VTEP_MAX; vtep++) if (outbound(vtep) == sa) set(vtep, 0);
}

export function reset(): void {
  memory.fill(SPD, 0, SPD_LENGTH);
}
