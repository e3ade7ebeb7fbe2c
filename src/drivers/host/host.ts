// The driver of the host's own stack: a sandbox on its one network, `host`, has the interfaces, addresses and ports that the
// daemon has. No address is given, no interface made, no route set, and nothing of it is taken away when the sandbox goes.
import { forbidden } from "../../errors.ts";
import type { DriverHost, DriverState, NetworkDraft } from "../driver.ts";
import { DriverWithoutInterfaces } from "../without-interfaces.ts";

export class HostDriver extends DriverWithoutInterfaces {
  override readonly name = "host";
  override readonly stack = "host";

  override async createNetwork(_draft: NetworkDraft, host: DriverHost): Promise<DriverState> {
    if (host.networks.some(({ driver }) => driver === this.name)) {
      throw forbidden(`only one instance of "${this.name}" network is allowed: attach to network host`);
    }
    return {};
  }
}
