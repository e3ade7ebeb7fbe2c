// Drivers by name. A new one is a folder beside this file and a line in builtinDrivers.
import { invalidArgument } from "../errors.ts";
import { BridgeDriver } from "./bridge/bridge.ts";
import type { Driver, Drivers } from "./driver.ts";
import { HostDriver } from "./host/host.ts";
import { MacvlanDriver } from "./macvlan/macvlan.ts";
import { NoneDriver } from "./none/none.ts";
import { OverlayDriver } from "./overlay/overlay.ts";

export const builtinDrivers = (): Driver[] => [
  new BridgeDriver(),
  new OverlayDriver(),
  new MacvlanDriver(),
  new HostDriver(),
  new NoneDriver(),
];

/** Other names that people use: Docker's network `none` has the driver `null`. */
const SPELLINGS: Readonly<Record<string, string>> = { none: "null" };

export class DriverRegistry implements Drivers {
  readonly #drivers: ReadonlyMap<string, Driver>;

  constructor(drivers: readonly Driver[]) {
    this.#drivers = new Map(drivers.map((driver) => [driver.name, driver]));
  }

  get(name: string): Driver {
    const driver = this.#drivers.get(SPELLINGS[name] ?? name);
    if (driver === undefined) {
      throw invalidArgument(`unknown network driver "${name}": this version of Weft has ${[...this.#drivers.keys()].sort().join(", ")}`);
    }
    return driver;
  }
}
