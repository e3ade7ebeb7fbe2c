// A port in a few words, for tables and traces: "a/eth0", "web gateway br-web", "underlay 192.0.2.1".
import type { PortName__Output } from "./generated/weft/v1/PortName.ts";

const UNDERLAY = "underlay/";

export function portText(port: PortName__Output): string {
  if (port.sandboxName !== "") return `${port.sandboxName}/${port.interfaceName}`;
  if (port.id.startsWith(UNDERLAY)) return `underlay ${port.id.slice(UNDERLAY.length)}`;
  if (port.networkName !== "") return `${port.networkName} gateway${port.interfaceName === "" ? "" : ` ${port.interfaceName}`}`;
  return port.interfaceName || port.id;
}
