// The subnets of a network to be: by the IPAM driver that was asked for, clear of other networks' and of the host's routes.
import type { Driver } from "../../drivers/driver.ts";
import { invalidArgument } from "../../errors.ts";
import { DEFAULT_IPAM, type IpamDriver, NULL_IPAM } from "../../ipam/ipam.ts";
import type { Id, IpamConfig } from "../../records/records.ts";
import { ULA_KEY } from "../../store/keys.ts";
import type { Put } from "../../store/store.ts";
import type { Context } from "../context.ts";
import type { CreateNetworkRequest } from "../types.ts";
import { hostRoutes, takenSubnets } from "./obstacles.ts";
import { configurationSubnets } from "./rules.ts";

const ULA_GLOBAL_ID_BYTES = 5;

/** The driver that is to give its addresses. */
export async function findIpam(context: Context, driver: Driver, request: CreateNetworkRequest): Promise<IpamDriver> {
  const ipam = await context.ipam.driver(request.ipamDriver ?? "");
  ipam.checkOptions(request.ipamOptions ?? {});
  if (ipam.name === NULL_IPAM && driver.addressSpace !== null && !driver.withoutAddresses) {
    const family = (request.enableIpv4 ?? true) ? "ipv4" : "ipv6";
    throw invalidArgument(`${family} pool is empty: networks of driver ${driver.name} need addresses, leave out --ipam-driver null`);
  }
  return ipam;
}

/** The subnets of a network to be; `puts` gets what has to be stored with it. */
export async function chooseSubnets(
  context: Context,
  driver: Driver,
  ipam: IpamDriver | null,
  networkId: Id,
  request: CreateNetworkRequest & { readonly enableIpv4: boolean; readonly enableIpv6: boolean },
  puts: Put[],
): Promise<readonly IpamConfig[]> {
  const { enableIpv4, enableIpv6, ipam: requests = [] } = request;
  if (ipam === null) return configurationSubnets(requests, enableIpv4, enableIpv6);
  if (driver.addressSpace === null) return [];
  const skips = driver.skipsGateway?.({ options: request.options ?? {}, internal: request.internal ?? false });
  const plan = {
    space: driver.addressSpace,
    requests,
    enableIpv4,
    enableIpv6,
    ...(skips === undefined ? {} : { withoutGateway: skips }),
    networks: takenSubnets(context),
    hostRoutes: driver.avoidsHostRoutes ? await hostRoutes(context) : [],
    ulaGlobalId: ulaGlobalId(context, enableIpv6 && ipam.name === DEFAULT_IPAM ? puts : []),
  };
  return ipam.chooseSubnets(plan, { networkId, options: request.ipamOptions ?? {} });
}

/** The stored one, or a new one, which then has to be stored with the network. */
function ulaGlobalId(context: Context, puts: Put[]): string {
  const stored = context.state.ipam.get(ULA_KEY);
  if (typeof stored === "string" && /^[0-9a-f]{10}$/.test(stored)) return stored;
  const made = Buffer.from(context.randomBytes(ULA_GLOBAL_ID_BYTES)).toString("hex");
  puts.push({ key: ULA_KEY, value: made });
  return made;
}
