// `--driver-opt` of an endpoint, Docker's keys: kernel settings of its interface, whose name the user need not know (IFNAME
// stands for it), and the interface's name. As with options of networks, an unknown one is refused: misspelt it would be without
// effect and nobody told.
import { addressInUse, invalidArgument } from "../../errors.ts";

const SYSCTLS_KEY = "com.docker.network.endpoint.sysctls";
const NAME_KEY = "com.docker.network.endpoint.ifname";
const PLACEHOLDER = /^ifname$/i; // Docker's command line writes options in lower case
const INTERFACE_NAME = /^(?!\.\.?$)[^\s/:%]{1,15}$/;

export interface EndpointOptions {
  /** Null: chosen by the network's prefix. */
  readonly interfaceName: string | null;
}

/** Throws INVALID_ARGUMENT for what is none of them, or can't be meant. */
export function readEndpointOptions(given: Readonly<Record<string, string>>): EndpointOptions {
  for (const key of Object.keys(given)) {
    if (key !== SYSCTLS_KEY && key !== NAME_KEY) {
      throw invalidArgument(`unknown option "${key}" of an endpoint; known options: ${NAME_KEY}, ${SYSCTLS_KEY}`);
    }
  }
  sysctls(given);
  const interfaceName = given[NAME_KEY] ?? null;
  if (interfaceName !== null && !INTERFACE_NAME.test(interfaceName)) {
    throw invalidArgument(
      `invalid endpoint settings:\ninvalid interface name ${JSON.stringify(interfaceName)}: 1 to 15 bytes, no space and no slash`,
    );
  }
  return { interfaceName };
}

/** The name that was asked for; throws if another interface of the namespace has it. */
export function wishedName({ interfaceName }: EndpointOptions, taken: ReadonlySet<string>): string | null {
  if (interfaceName !== null && (taken.has(interfaceName) || interfaceName === "lo")) {
    throw addressInUse(`interface name ${interfaceName} is already used in the sandbox: choose another ${NAME_KEY}`);
  }
  return interfaceName;
}

/** "net.ipv4.conf.IFNAME.x=1" -> { "net.ipv4.conf.eth0.x": "1" }; a name that has a dot is written with slashes around it. */
export function interfaceSysctls(options: Readonly<Record<string, string>>, interfaceName: string): Record<string, string> {
  return Object.fromEntries(sysctls(options).map(([parts, value]) => [[...parts.slice(0, 3), interfaceName, parts[4]].join("/"), value]));
}

function sysctls({ [SYSCTLS_KEY]: text }: Readonly<Record<string, string>>): [string[], string][] {
  if (text === undefined) return [];
  return text.split(",").map((setting) => {
    const at = setting.indexOf("=");
    const parts = (at < 0 ? setting : setting.slice(0, at)).split(".");
    const [net, family = "", , place = ""] = parts;
    const known = net === "net" && ["ipv4", "ipv6", "mpls"].includes(family) && parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part));
    if (!known || parts.length !== 5 || !PLACEHOLDER.test(place)) {
      throw invalidArgument(
        `invalid endpoint settings:\nunrecognised network interface sysctl '${setting}'; represent 'net.X.Y.ethN.Z=V' as 'net.X.Y.IFNAME.Z=V', 'X' must be 'ipv4', 'ipv6' or 'mpls'`,
      );
    }
    if (at < 0) throw invalidArgument(`expected sysctl '${setting}' to have format name=value`);
    return [parts, setting.slice(at + 1)];
  });
}
