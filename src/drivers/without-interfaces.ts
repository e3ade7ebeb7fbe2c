// What drivers have in common whose sandboxes get no interface of ours: no address, no MAC, nothing to declare. Such a driver
// says what a sandbox's stack is (`stack`), and which networks of it there may be.
import type { Declaration } from "../datapath/declarations.ts";
import type { Driver, DriverHost, DriverState, Join, NetworkDraft } from "./driver.ts";

export abstract class DriverWithoutInterfaces implements Driver {
  abstract readonly name: string;
  abstract readonly stack: Driver["stack"];
  readonly scope = "local";
  readonly addressSpace = null;
  readonly avoidsHostRoutes = false;
  readonly hasPeers = false;

  abstract createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState>;

  declareNetwork(): Declaration {
    return {};
  }

  hostInterfaces(): [] {
    return [];
  }

  createEndpoint(): { mac: null; driverState: DriverState } {
    return { mac: null, driverState: {} };
  }

  join(): Join {
    return { interfacePrefix: null, mtuBytes: 0, gatewayIpv4: null, gatewayIpv6: null };
  }

  declareEndpoint(): Declaration {
    return {};
  }
}
