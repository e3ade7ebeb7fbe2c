// Network stacks that are not a sandbox's own making: another sandbox's, and namespaces that the user names by path.
import { isAbsolute } from "node:path";
import { addressInUse, forbidden, invalidArgument, notFound } from "../../errors.ts";
import { OWN_NAMESPACE } from "../../paths.ts";
import type { SandboxRecord } from "../../records/records.ts";
import type { Context } from "../context.ts";

/** Once its lock is held. */
export function checkOwner(context: Context, owner: SandboxRecord): void {
  if (!context.state.sandboxes.has(owner.id)) throw notFound(`sandbox ${owner.name} not found`);
  if (context.namespaces.inode(owner.namespacePath) === null) {
    throw forbidden(`cannot join network of a non running container: ${owner.name}, its namespace ${owner.namespacePath} is gone`);
  }
}

/** The inode of the user's namespace. */
export function checkNamespace(context: Context, path: string): number {
  if (!isAbsolute(path))
    throw invalidArgument(`invalid namespace path ${JSON.stringify(path)}: give an absolute one, the daemon has another working directory`);
  const inode = context.namespaces.inode(path);
  if (inode === null) {
    throw invalidArgument(
      `${path} is not a network namespace: give the path of one (/run/netns/NAME, /proc/PID/ns/net) or leave it out to have one made`,
    );
  }
  if (inode === context.namespaces.inode(OWN_NAMESPACE)) {
    throw invalidArgument(`${path} is the daemon's own network namespace: attaching it would change the host's routes; give another`);
  }
  return inode;
}

/** Throws if a sandbox has the namespace already. */
export function refuseSharedNamespace(context: Context, path: string, inode: number): void {
  for (const other of context.state.sandboxes.values()) {
    if (context.namespaces.inode(other.namespacePath) === inode) {
      throw addressInUse(`namespace ${path} is already used by sandbox ${other.name}: connect that sandbox to further networks instead`);
    }
  }
}
