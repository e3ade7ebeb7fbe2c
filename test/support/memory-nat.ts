// A host that routes on paper: what it was told last, and which ports its programs have.
import { addressInUse } from "../../src/errors.ts";
import type { HostNat, HostPort, NatPlan } from "../../src/nat/types.ts";

export class MemoryNat implements HostNat {
  warnings: readonly string[] = [];
  plan: NatPlan = { networks: [], publications: [], relays: [] };
  /** "tcp 8080" */
  readonly programs = new Set<string>();
  ephemeral: readonly number[] = [40_000, 40_001, 40_002];
  readonly reserved: string[] = [];
  readonly forgotten: string[] = [];
  readonly made: string[] = [];
  /** Called before each change; throws to make it fail. */
  onApply: (plan: NatPlan) => void = () => {};

  async apply(plan: NatPlan): Promise<void> {
    this.onApply(plan);
    this.plan = plan;
  }

  async interfaceMade(interfaceName: string): Promise<void> {
    this.made.push(interfaceName);
  }

  async reserve({ protocol, hostAddress, hostPort, count }: HostPort): Promise<void> {
    this.reserved.push(`${protocol} ${hostAddress} ${hostPort}`);
    for (let port = hostPort; port < hostPort + count; port++) {
      if (this.programs.has(`${protocol} ${port}`)) throw addressInUse(`failed to bind host port ${hostAddress}:${port}/${protocol}`);
    }
  }

  async forget(addresses: readonly string[]): Promise<void> {
    this.forgotten.push(...addresses);
  }

  ephemeralPorts(): Iterable<number> {
    return this.ephemeral;
  }

  get relayed(): string[] {
    return this.plan.relays.map(
      ({ protocol, hostAddress, hostPort, count, target, targetPort }) =>
        `${protocol} ${hostAddress}:${hostPort}+${count} -> ${target}:${targetPort}`,
    );
  }

  /** "tcp 0.0.0.0:8080+1 -> 10.1.0.2:80" */
  get published(): string[] {
    return this.plan.publications.map(
      ({ protocol, hostAddress, hostPort, count, target, targetPort }) =>
        `${protocol} ${hostAddress}:${hostPort}+${count} -> ${target}:${targetPort}`,
    );
  }
}
