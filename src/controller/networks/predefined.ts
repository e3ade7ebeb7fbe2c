// The networks that are there without anybody making them. They are stored like others, so that their ids and endpoints are
// what they were after a restart; a missing one is made at start, before the first request.
import type { Context } from "../context.ts";
import type { CreateNetworkRequest } from "../types.ts";
import { ensureDefaultBridge } from "./default-bridge.ts";
import { makeNetwork } from "./making.ts";

const PREDEFINED_REQUESTS: readonly CreateNetworkRequest[] = [
  { name: "host", driver: "host" },
  { name: "none", driver: "null" },
];

export async function ensurePredefined(context: Context): Promise<void> {
  for (const request of PREDEFINED_REQUESTS) {
    if (context.state.networkByName(request.name) === undefined) await makeNetwork(context, request);
  }
  await ensureDefaultBridge(context);
}
