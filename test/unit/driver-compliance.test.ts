import { BridgeDriver } from "../../src/drivers/bridge/bridge.ts";
import { HostDriver } from "../../src/drivers/host/host.ts";
import { MacvlanDriver } from "../../src/drivers/macvlan/macvlan.ts";
import { NoneDriver } from "../../src/drivers/none/none.ts";
import { OverlayDriver } from "../../src/drivers/overlay/overlay.ts";
import { driverCompliance } from "../compliance/driver.ts";

driverCompliance("bridge", {
  make: () => new BridgeDriver(),
  variants: {
    internal: { internal: true },
    "sandboxes apart": { options: { "com.docker.network.bridge.enable_icc": "false" } },
    "a name and an MTU": { options: { "com.docker.network.bridge.name": "br-x", "com.docker.network.driver.mtu": "9000" } },
  },
});

driverCompliance("overlay", {
  make: () => new OverlayDriver(),
  variants: {
    internal: { internal: true },
    "a VNI": { options: { "com.docker.network.driver.overlay.vxlanid_list": "5000" } },
  },
});

driverCompliance("macvlan", {
  make: () => new MacvlanDriver(),
  variants: {
    internal: { internal: true },
    "a parent": { options: { parent: "eth0" } },
    "a VLAN": { options: { parent: "eth0.100", macvlan_mode: "vepa", "com.docker.network.driver.mtu": "1400" } },
    private: { options: { parent: "eth0", macvlan_mode: "private" } },
  },
});

driverCompliance("host", { make: () => new HostDriver(), variants: {} });
driverCompliance("none", { make: () => new NoneDriver(), variants: {} });
