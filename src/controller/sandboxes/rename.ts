// Another name for a sandbox: in one commit with its endpoints, for their names are what DNS answers to. The old name is free
// and unknown from that instant on. The hostname is the program's own and stays; so does the name of its way out of the host,
// which is made of its id.
import { invalidArgument } from "../../errors.ts";
import type { SandboxRecord } from "../../records/records.ts";
import { endpointKey, sandboxKey } from "../../store/keys.ts";
import { type Context, commit, put } from "../context.ts";
import { refreshLinkers } from "../endpoints/links.ts";
import { exclusive } from "../locks.ts";
import { checkName, shortId } from "../names.ts";
import { nameTaken } from "./programs.ts";
import { findSandbox, heldSandbox, sandboxLock } from "./sandboxes.ts";

export async function renameSandbox(context: Context, reference: string, name: string): Promise<SandboxRecord> {
  const { id } = findSandbox(context, reference);
  checkName(name, "sandbox name");
  const renamed = await context.locks.run([exclusive(`sandbox-name/${name}`), exclusive(sandboxLock({ id }))], async () => {
    const sandbox = heldSandbox(context, id, reference);
    if (sandbox.name === name) throw invalidArgument("Renaming a sandbox with the same name as its current name");
    const other = context.state.sandboxByName(name);
    if (other !== undefined) throw nameTaken(name, shortId(other.id));
    const renamed: SandboxRecord = { ...sandbox, name };
    const endpoints = context.state
      .endpointsOfSandbox(id)
      .filter((endpoint) => endpoint.name === sandbox.name)
      .map((endpoint) => ({ ...endpoint, name }));
    await commit(context, [put(sandboxKey(id), renamed), ...endpoints.map((endpoint) => put(endpointKey(endpoint.id), endpoint))]);
    context.log("info", "sandbox renamed", { from: sandbox.name, to: name, id: shortId(id) });
    return renamed;
  });
  await refreshLinkers(context, id);
  return renamed;
}
