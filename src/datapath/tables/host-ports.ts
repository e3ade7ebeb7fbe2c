// Ports that nobody declares: the host's own ends of its underlays. Which of them leads to a peer follows from the peer's address
// family; there is at most one of a kind and family.
import { isIpv6 } from "../words.ts";

/** A port of the host's own, not declared by anybody. */
export interface UnderlayPort {
  /** "underlay/10.9.0.1" */
  readonly name: string;
  readonly address: string;
  readonly udpPort: number;
  readonly socketCount: number;
  /** "path-errors/10.9.0.1", where errors about what was sent arrive. */
  readonly errors: string | null;
}

/** A port of the host's own for ESP: `kind` is how it crosses the underlay. */
export interface EspPort {
  /** "esp/10.9.0.1", "esp-raw/10.9.0.1" */
  readonly name: string;
  readonly kind: "udp" | "raw";
  readonly address: string;
  /** Where the tunnel inside listens. */
  readonly vxlanPort: number;
}

export class HostPorts {
  underlays: readonly UnderlayPort[] = [];
  /** Those that are open. */
  espPorts: readonly EspPort[] = [];

  underlayFor(address: string): UnderlayPort | undefined {
    return this.underlays.find((one) => isIpv6(one.address) === isIpv6(address));
  }

  espPortFor(address: string, kind: "udp" | "raw"): EspPort | undefined {
    return this.espPorts.find((one) => one.kind === kind && isIpv6(one.address) === isIpv6(address));
  }

  clear(): void {
    this.underlays = [];
    this.espPorts = [];
  }
}
