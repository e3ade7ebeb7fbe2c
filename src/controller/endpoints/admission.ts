// Endpoints on their way into the store: all of a change are prepared, stored in one commit, made true by the caller, and taken back
// whole if that fails.
import { WeftError } from "../../errors.ts";
import type { NetworkRecord, SandboxRecord } from "../../records/records.ts";
import { endpointKey } from "../../store/keys.ts";
import { attempt, type Context, commit } from "../context.ts";
import { heldNetwork } from "../networks/networks.ts";
import type { AttachRequest } from "../types.ts";
import { type Prepared, prepareAttachment } from "./attachments.ts";
import type { Attachment } from "./wants.ts";

/** All or none. */
export async function prepareAll(
  context: Context,
  sandbox: SandboxRecord,
  wishes: readonly { readonly wish: AttachRequest; readonly network: NetworkRecord }[],
  linkNames: Set<string>,
): Promise<Prepared[]> {
  const prepared: Prepared[] = [];
  try {
    for (const { wish, network } of wishes) {
      const current = heldNetwork(context, network.id, wish.network);
      prepared.push(
        await context.lastAddresses.first(current.id, sandbox.id, wish, (one) =>
          prepareAttachment(context, sandbox, current, one, linkNames, wish),
        ),
      );
    }
    return prepared;
  } catch (error) {
    for (const { release } of prepared) await release();
    throw error;
  }
}

/** Stores what was prepared together with `puts`, or gives it back. */
export async function admit(context: Context, prepared: readonly Prepared[], puts: Parameters<typeof commit>[1]): Promise<void> {
  try {
    await commit(context, [...puts, ...prepared.flatMap((one) => one.puts)]);
  } catch (error) {
    for (const { release } of prepared) await release();
    throw error;
  }
  for (const { settle } of prepared) settle();
}

/** Removes from the store what couldn't be made true; throws the reason. */
export async function takeBack(
  context: Context,
  attachments: readonly Attachment[],
  keys: readonly string[],
  what: string,
  reason: unknown,
): Promise<never> {
  const deletes = [...keys, ...attachments.map(({ endpoint }) => endpointKey(endpoint.id))];
  if (!(await attempt(context, `removing ${what} from the store`, () => commit(context, [], deletes)))) {
    throw new WeftError(
      "UNAVAILABLE",
      `${(reason as Error).message}; undoing it failed as well, so the ${what} is stored: remove it when the store can be written again`,
      { cause: reason },
    );
  }
  await giveBack(context, attachments);
  throw reason;
}

/**
 * The addresses of endpoints that have left the store. All at once: what waited for the slow plugin of another network would be taken
 * for leaked (upkeep/reconcile.ts), and given back twice.
 */
export async function giveBack({ ipam }: Pick<Context, "ipam">, attachments: readonly Attachment[]): Promise<void> {
  await Promise.all(attachments.map(({ network, endpoint }) => ipam.releaseAddresses(network.id, endpoint)));
}
