// Network namespaces of a test: made and removed through the addon itself, named so that a leftover can be traced to its run.
import { randomBytes } from "node:crypto";
import { native } from "../../src/ports/native.ts";

export interface TestNamespaces {
  /** Makes a namespace; its path. */
  create(label: string): Promise<string>;
  /** A path nothing is at, which `removeAll` clears like the others. */
  path(label: string): string;
  /** Removes all that were made. For afterEach or afterAll. */
  removeAll(): Promise<void>;
}

export function testNamespaces(): TestNamespaces {
  const prefix = `/run/netns/weft-t${process.pid}-${randomBytes(2).toString("hex")}`;
  const paths = new Set<string>();
  const path = (label: string): string => {
    const made = `${prefix}-${label}`;
    paths.add(made);
    return made;
  };
  return {
    path,
    async create(label) {
      const made = path(label);
      await native().createNamespace(made);
      return made;
    },
    async removeAll() {
      await Promise.all([...paths].map((made) => native().deleteNamespace(made)));
      paths.clear();
    },
  };
}
