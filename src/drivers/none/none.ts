// The driver of networks that are no network: a sandbox on one has its loopback and nothing else. Docker calls it `null`, its
// one network `none`.
//
// It is also the driver of configuration-only networks, as in Docker: they are never true, whatever driver the networks that
// are made from them have. So a sandbox can't leave here, and there is nothing to declare.
import { forbidden } from "../../errors.ts";
import type { DriverHost, DriverState, NetworkDraft } from "../driver.ts";
import { DriverWithoutInterfaces } from "../without-interfaces.ts";

export class NoneDriver extends DriverWithoutInterfaces {
  override readonly name = "null";
  override readonly stack = "loopback";

  override async createNetwork(draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    if (draft.configOnly) return {};
    if (host.networks.some(({ driver, configOnly }) => driver === this.name && !configOnly)) {
      throw forbidden(`only one instance of "${this.name}" network is allowed: attach to network none`);
    }
    return {};
  }
}
