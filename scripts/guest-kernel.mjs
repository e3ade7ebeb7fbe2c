// Debian's kernel for a virtual machine of the tests: downloaded and unpacked into build/guest, never installed, so that the
// host's boot loader hears nothing of it. Of its modules only those that the tests load, numbered in the order in which
// they are to be loaded.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { ROOT, run, StepError } from "./steps.mjs";

export const GUEST_FOLDER = join(ROOT, "build/guest");

/** A card, files of the host, ESP with AES-GCM and ChaCha20-Poly1305, VXLAN. Without drbg no association gets an IV generator. */
export const GUEST_MODULES = [
  ...["virtio_pci", "virtio_net", "9p", "9pnet_virtio"],
  ...["drbg", "ctr", "ghash-generic", "gcm", "seqiv", "chacha_generic", "poly1305_generic", "chacha20poly1305"],
  ...["xfrm_user", "esp4", "esp6", "vxlan"],
];

/** @param {string} folder @returns {string[]} */
function modulesBelow(folder) {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ko"))
    .map((name) => join(folder, name));
}

/** @param {string} path */
const moduleName = (path) => basename(path, ".ko").replaceAll("-", "_");

/**
 * The modules wanted, each behind those that it needs, as it says itself.
 *
 * @param {string} folder
 */
function inOrder(folder) {
  const paths = new Map(modulesBelow(folder).map((path) => [moduleName(path), path]));
  /** @type {Set<string>} */
  const order = new Set();
  /** @param {string} name */
  const add = (name) => {
    const path = paths.get(name);
    if (path === undefined) return; // built in
    const needs = /\0depends=([^\0]*)\0/.exec(readFileSync(path, "latin1"))?.[1] ?? "";
    for (const need of needs.split(",").filter((one) => one !== "")) add(need.replaceAll("-", "_"));
    order.add(path);
  };
  for (const name of GUEST_MODULES) add(name.replaceAll("-", "_"));
  return [...order];
}

/** @returns {Promise<string | null>} null: it is there already */
export async function guestKernel() {
  if (existsSync(join(GUEST_FOLDER, "vmlinuz"))) return null;
  const work = join(ROOT, "build/guest-work");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  try {
    const text = await run(["apt-cache", "depends", "linux-image-amd64"]);
    const name = /Depends: (linux-image-\S+)/.exec(text)?.[1];
    if (name === undefined) throw new Error("apt-cache knows no linux-image-amd64");
    await run(["sh", "-c", `cd '${work}' && apt-get -q download ${name} && dpkg-deb -x *.deb . && rm *.deb`]);
    const made = join(work, "guest");
    mkdirSync(join(made, "modules"), { recursive: true });
    for (const [i, path] of inOrder(join(work, "lib/modules")).entries())
      renameSync(path, join(made, "modules", `${String(i).padStart(2, "0")}-${basename(path)}`));
    const [image] = readdirSync(join(work, "boot")).filter((one) => one.startsWith("vmlinuz-"));
    renameSync(join(work, "boot", image ?? "vmlinuz"), join(made, "vmlinuz"));
    rmSync(GUEST_FOLDER, { recursive: true, force: true });
    renameSync(made, GUEST_FOLDER);
    return `unpacked ${name}`;
  } catch (error) {
    const output = error instanceof StepError ? error.output : String(error);
    throw new StepError("Debian's kernel, which tests of ESP run in a virtual machine, can't be had. Is the network reachable?", output);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
