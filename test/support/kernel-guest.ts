// A host whose kernel is Debian's and not this machine's: a virtual machine by emulation alone (no /dev/kvm), for what the
// kernel here may lack or forbid. Its one network card is a TAP in a namespace of the test, so that the namespace and the
// machine are two hosts on one link. It sees this machine's files, read-only, by 9p: what runs here runs there.
//
// in   build/guest: vmlinuz and modules, as scripts/guest-kernel.mjs unpacked them
// out  a shell on its serial line: one command at a time, answered with what it printed
//
// Boots in three seconds when nothing else wants the processor.
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GUEST_FOLDER } from "../../scripts/guest-kernel.mjs";
import type { Background, Host, Lab } from "./hosts.ts";

const BOOT_MS = 60_000;
const COMMAND_MS = 60_000;

const INIT = `#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc
$B mount -t sysfs sysfs /sys
$B mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $B insmod $module || $B echo "@@broken $module"; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host || $B echo "@@broken 9p"
for folder in proc sys dev; do $B mount -o bind /$folder /host/$folder; done
$B mount -t tmpfs run /host/run
$B stty -F /dev/ttyS0 raw -echo
export PATH=/usr/sbin:/usr/bin:/sbin:/bin PYTHONDONTWRITEBYTECODE=1
exec $B chroot /host /bin/sh -c 'ip link set lo up; echo @@ready; exec sh 2>/dev/null'
`;

/** The first file system, which loads modules and hands over to the other one, as a cpio archive. */
function initramfs(folder: string): string {
  const root = join(folder, "root");
  for (const name of ["bin", "modules", "proc", "sys", "dev", "host"]) mkdirSync(join(root, name), { recursive: true });
  cpSync("/bin/busybox", join(root, "bin/busybox"));
  cpSync(join(GUEST_FOLDER, "modules"), join(root, "modules"), { recursive: true });
  writeFileSync(join(root, "init"), INIT);
  chmodSync(join(root, "init"), 0o755);
  const archive = join(folder, "initramfs");
  execFileSync("sh", ["-c", `cd '${root}' && find . | busybox cpio -o -H newc > '${archive}'`], { stdio: ["ignore", "ignore", "ignore"] });
  return archive;
}

export class KernelGuest {
  readonly #qemu: Background;
  #commands = 0;

  private constructor(qemu: Background) {
    this.#qemu = qemu;
  }

  /** `host` gets an interface `interfaceName`, up, that the machine's eth0 is the other end of. */
  static async start(lab: Lab, host: Host, interfaceName: string): Promise<KernelGuest> {
    if (!existsSync(GUEST_FOLDER)) throw new Error(`${GUEST_FOLDER} is missing: \`npm test -- FILE\` fetches the guest's kernel`);
    const folder = mkdtempSync(join(tmpdir(), "weft-t"));
    lab.defer(() => rmSync(folder, { recursive: true }));
    await host.ip(`tuntap add ${interfaceName} mode tap vnet_hdr\nlink set ${interfaceName} up`);
    const qemu = lab.background(host, [
      ...["qemu-system-x86_64", "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-no-reboot", "-display", "none"],
      ...["-kernel", join(GUEST_FOLDER, "vmlinuz"), "-initrd", initramfs(folder)],
      ...["-append", "console=ttyS0 quiet panic=-1 mitigations=off"],
      ...["-serial", "stdio", "-monitor", "none"],
      ...["-netdev", `tap,id=n,ifname=${interfaceName},script=no,downscript=no,vhost=off`],
      ...["-device", "virtio-net-pci,netdev=n,romfile=", "-object", "rng-random,filename=/dev/urandom,id=r"],
      ...["-fsdev", "local,id=f,path=/,security_model=none,readonly=on,multidevs=remap"],
      ...["-device", "virtio-9p-pci,fsdev=f,mount_tag=host"],
    ]);
    await qemu.until(/@@ready/, BOOT_MS);
    const broken = /@@broken .*/.exec(qemu.stdout);
    if (broken !== null) throw new Error(`the guest lacks something: ${qemu.stdout}`);
    return new KernelGuest(qemu);
  }

  /** Runs shell commands as `sh -e` does; rejects when one fails. What is to go on behind them ends with ` &`. One call at a time. */
  async run(commands: string, timeoutMs: number = COMMAND_MS): Promise<string> {
    const mark = `@@${++this.#commands}`;
    const before = this.#qemu.stdout.length;
    this.#qemu.child.stdin!.write(`(set -e; ${commands}\n) 2>&1 </dev/null; echo "${mark} $?"\n`);
    const match = await this.#qemu.until(new RegExp(`${mark} (\\d+)`), timeoutMs);
    const text = this.#qemu.stdout.slice(before, match.index);
    if (match[1] !== "0") throw new Error(`in the guest \`${commands}\` ended with ${match[1]}:\n${text}`);
    return text;
  }
}
