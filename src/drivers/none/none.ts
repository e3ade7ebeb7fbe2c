// The driver of networks that are no network: a sandbox on one has its loopback and nothing else. Docker calls it `null`, its
// one network `none`.
//
// It is also the driver of configuration-only networks, as in Docker: they are never true, whatever driver the networks that
// are made from them have. So a sandbox can't leave here, and there is nothing to declare.
import type { Declaration } from "../../datapath/declarations.ts";
import { forbidden } from "../../errors.ts";
import type { Driver, DriverHost, DriverState, Join, NetworkDraft } from "../driver.ts";

export class NoneDriver implements Driver {
  readonly name = "null";
  readonly scope = "local";
  readonly stack = "loopback";
  readonly addressSpace = null;
  readonly avoidsHostRoutes = false;
  readonly hasPeers = false;

  async createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    if (draft.configOnly) return {};
    if (host.networks.some(({ driver, configOnly }) => driver === this.name && !configOnly)) {
      throw forbidden(`only one instance of "${this.name}" network is allowed: attach to network none`);
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
