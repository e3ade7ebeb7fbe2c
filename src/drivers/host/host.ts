// The driver of the host's own stack: a sandbox on its one network, `host`, has the interfaces, addresses and ports that the
// daemon has. No address is given, no interface made, no route set, and nothing of it is taken away when the sandbox goes.
import type { Declaration } from "../../datapath/declarations.ts";
import { forbidden } from "../../errors.ts";
import type { Driver, DriverHost, DriverState, Join, NetworkDraft } from "../driver.ts";

export class HostDriver implements Driver {
  readonly name = "host";
  readonly scope = "local";
  readonly stack = "host";
  readonly addressSpace = null;
  readonly avoidsHostRoutes = false;
  readonly hasPeers = false;

  async createNetwork(_draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    if (host.networks.some(({ driver }) => driver === this.name)) {
      throw forbidden(`only one instance of "${this.name}" network is allowed: attach to network host`);
    }
    return {};
  }

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
