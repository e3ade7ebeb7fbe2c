// Which namespace a sandbox's path leads to, if it is still the sandbox's.
import { OWN_NAMESPACE } from "../paths.ts";
import type { SandboxRecord } from "../records/records.ts";
import type { Context } from "./context.ts";

/**
 * The inode of the sandbox's namespace; null if it is gone. A path that a user gave may lead elsewhere by now: after a reboot
 * `/proc/PID/ns/net` is a stranger's, perhaps the daemon's own, and attaching to that would change the host's routes.
 */
export function stackInode({ state, namespaces }: Context, sandbox: SandboxRecord): number | null {
  const inode = namespaces.inode(sandbox.namespacePath);
  const isUsers = !sandbox.ownsNamespace && sandbox.joinedTo === null && sandbox.namespacePath !== OWN_NAMESPACE;
  if (inode === null || !isUsers) return inode;
  if (inode === namespaces.inode(OWN_NAMESPACE)) return null;
  const others = [...state.sandboxes.values()].filter(({ id, joinedTo }) => id !== sandbox.id && joinedTo === null);
  return others.some((other) => namespaces.inode(other.namespacePath) === inode) ? null : inode;
}
