// The engine's ports and domains by the names that people know. The datapath calls a port by its declaration's id: an
// endpoint's id, `<network id>/gateway`, `underlay/<address>`. What those are now, the controller knows.
import type { Controller, SandboxView } from "../controller/types.ts";
import type { PortStats } from "../datapath/datapath-api.ts";
import type { PortName__Output } from "./generated/weft/v1/PortName.ts";
import { portText } from "./port-text.ts";

type SandboxEndpoint = SandboxView["endpoints"][number];

export class PortNames {
  readonly #endpoints = new Map<string, { view: SandboxView; one: SandboxEndpoint }>();
  readonly #networks: ReadonlyMap<string, string>;

  constructor(controller: Controller) {
    for (const view of controller.listSandboxes()) for (const one of view.endpoints) this.#endpoints.set(one.endpoint.id, { view, one });
    this.#networks = new Map(controller.listNetworks().map((network) => [network.id, network.name]));
  }

  /** `text` with the ids of ports and networks in it replaced by their names. */
  readable(text: string): string {
    return text.replace(/[0-9a-f]{64}(\/\w+)?/g, (id) => {
      const port = this.name(id);
      if (port.sandboxName !== "" || id.endsWith("/gateway")) return portText(port);
      return port.networkName === "" ? id : `${port.networkName}${id.slice(port.networkId.length)}`;
    });
  }

  /** `stats`, where they are at hand, tell more of ports that are no endpoint's. */
  name(port: string, stats?: Pick<PortStats, "kind" | "domain" | "interfaceName">): PortName__Output {
    const found = this.#endpoints.get(port);
    const owner = found?.one.network.id ?? (stats?.domain || port).split("/")[0]!;
    const network = this.#networks.get(owner);
    return {
      id: port,
      kind: stats?.kind ?? (port.startsWith("underlay/") ? "underlay" : "tap"),
      networkId: network === undefined ? "" : owner,
      networkName: network ?? "",
      sandboxId: found?.view.sandbox.id ?? "",
      sandboxName: found?.view.sandbox.name ?? "",
      interfaceName: stats?.interfaceName || (found?.one.endpoint.interfaceName ?? ""),
    };
  }
}
