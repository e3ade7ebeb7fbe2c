// A TAP in a network namespace: the sandbox's end is an ordinary interface, ours a file descriptor that carries Ethernet
// frames behind a virtio-net header. TAPs are persistent, so that they outlive the daemon (crash, upgrade) with addresses,
// routes and sockets bound to them, and the next one attaches again under the same name.
//
// Here: the device, its MAC, MTU and queue. Not here: addresses, routes and "up", which belong to whoever configures the
// namespace; an interface that comes up before it has its addresses would send from none.
import { native } from "./native.ts";
import { closeFds, errnoOf, portError } from "./port.ts";

/**
 * Frames that the kernel queues towards us. A TAP gives its sender no back pressure: what does not fit is lost and counted
 * as the interface's tx_dropped. 4000 covers 10 ms at 400,000 frames a second: on a busy machine the worker waits for a turn of
 * the processor or two. It costs 32 KiB of the kernel a TAP; a TCP sender is held back by its own limits long before.
 */
const TX_QUEUE_LENGTH = 4000;

export interface TapSettings {
  /** Path of the namespace, or null: the daemon's own. */
  readonly namespacePath: string | null;
  readonly interfaceName: string;
  readonly mac: string;
  readonly mtuBytes: number;
}

function where(tap: { readonly namespacePath: string | null; readonly interfaceName: string }): string {
  return `interface ${tap.interfaceName} in ${tap.namespacePath ?? "the host's namespace"}`;
}

function remedies(tap: TapSettings): Record<string, string> {
  const inUse = `${tap.interfaceName} exists there already; remove it, or end the process that holds it`;
  return {
    EBUSY: inUse,
    EEXIST: inUse,
    EINVAL: `an interface of that name that is no TAP of Weft's would do this; so would an MTU of ${tap.mtuBytes} that the kernel does not take`,
    ENOENT: tap.namespacePath === null ? "is /dev/net/tun missing? `modprobe tun`" : "does the namespace exist, and /dev/net/tun?",
    EPERM: "the daemon needs root, or CAP_NET_ADMIN and CAP_SYS_ADMIN",
    EACCES: "the daemon needs root, or CAP_NET_ADMIN and access to /dev/net/tun",
  };
}

/** Makes the TAP, or attaches to the one that is there, and gives it MAC, MTU and queue. Answers its fd. */
export async function openTapPort(tap: TapSettings): Promise<number> {
  try {
    const { namespacePath: namespace, interfaceName: name, mac, mtuBytes } = tap;
    const settings = { mac, mtuBytes, txQueueLength: TX_QUEUE_LENGTH };
    return await native().openTap({ namespace, name, persist: true, offloads: true }, settings);
  } catch (error) {
    throw portError(`cannot open ${where(tap)}`, error, remedies(tap));
  }
}

/** MAC, MTU and queue of a TAP that is there; what is right already is left alone. */
export async function configureTapPort(tap: TapSettings): Promise<void> {
  try {
    await native().configureInterface(tap.namespacePath, {
      name: tap.interfaceName,
      mac: tap.mac,
      mtuBytes: tap.mtuBytes,
      txQueueLength: TX_QUEUE_LENGTH,
    });
  } catch (error) {
    throw portError(`cannot configure ${where(tap)}`, error, remedies(tap));
  }
}

/** Deletes the interface and closes our end. A namespace that is gone took its interfaces along, so that is no failure. */
export async function deleteTapPort(namespacePath: string | null, interfaceName: string, fds: readonly number[]): Promise<void> {
  try {
    await native().deleteLink(namespacePath, interfaceName);
  } catch (error) {
    const errno = errnoOf(error);
    const gone = namespacePath !== null && (errno === "ENOENT" || errno === "EINVAL");
    if (!gone) throw portError(`cannot delete ${where({ namespacePath, interfaceName })}`, error);
  } finally {
    await closeFds(fds);
  }
}
