// weft network ...
import { type Command, Option } from "commander";
import { WeftError } from "../errors.ts";
import { type Context, collect, collectList, group, leaf, type Session } from "./command.ts";
import { networkDocument, networkRow } from "./documents.ts";
import { ReportedError } from "./errors.ts";
import { type IpamFlags, ipamEntries } from "./ipam-flags.ts";
import { labels, link, pairs, strictPairs, unquoted, wholeNumber } from "./values.ts";

interface CreateFlags extends IpamFlags {
  readonly driver?: string;
  readonly ipv4?: boolean;
  readonly ipv6?: boolean;
  readonly internal?: boolean;
  readonly attachable?: boolean;
  readonly scope?: string;
  readonly ingress?: boolean;
  readonly configOnly?: boolean;
  readonly configFrom?: string;
  readonly opt?: readonly string[];
  readonly label?: readonly string[];
  readonly ipamDriver?: string;
  readonly ipamOpt?: readonly string[];
}

async function create(context: Context, name: string, flags: CreateFlags): Promise<void> {
  const { ipv4, ipv6 } = flags;
  const { network } = await context.client.call("network", "Create", {
    name,
    driver: flags.driver ?? "",
    ipam: ipamEntries(flags),
    ipamDriver: flags.ipamDriver ?? "",
    ipamOptions: strictPairs("--ipam-opt", flags.ipamOpt),
    ...(ipv4 === undefined ? {} : { enableIpv4: ipv4 }),
    ...(ipv6 === undefined ? {} : { enableIpv6: ipv6 }),
    internal: flags.internal ?? false,
    attachable: flags.attachable ?? false,
    scope: flags.scope ?? "",
    ingress: flags.ingress ?? false,
    configOnly: flags.configOnly ?? false,
    configFrom: flags.configFrom ?? "",
    options: pairs(flags.opt),
    labels: labels(flags.label),
  });
  context.print(`${network!.id}\n`);
}

interface ConnectFlags {
  readonly ip?: string;
  readonly ip6?: string;
  readonly mac?: string;
  readonly linkLocalIp?: string[];
  readonly alias?: string[];
  readonly link?: string[];
  readonly driverOpt?: string[];
  readonly gwPriority?: string;
}

const PRUNE_WARNING = "WARNING! This will remove all custom networks not used by at least one sandbox.";

async function prune(context: Context, flags: { readonly force?: boolean; readonly filter?: readonly string[] }): Promise<void> {
  const filters = flags.filter ?? [];
  const what =
    filters.length === 0
      ? PRUNE_WARNING
      : `${PRUNE_WARNING}\n\n  Items to be pruned will be filtered with:\n${filters.map((text) => `  - ${text}\n`).join("")}`;
  if (!flags.force && !(await context.confirmed(what))) {
    context.complain("network prune has been cancelled");
    throw new ReportedError();
  }
  const { networks } = await context.client.call("network", "Prune", { filters: [...filters] });
  if (context.format === "json") context.print(`${JSON.stringify({ NetworksDeleted: networks.map(({ name }) => name) })}\n`);
  else if (networks.length > 0) context.print(`Deleted Networks:\n${networks.map(({ name }) => `${name}\n`).join("")}\n`);
}

export function register(program: Command, host: Session): void {
  const network = group(program, "network", "Make, look at and remove networks; attach sandboxes to them");

  leaf<CreateFlags>(network, host, {
    usage: "create <name>",
    summary: "Make a network",
    examples: [
      "weft network create web                                        a bridge, addresses from the default pools",
      "weft network create -d overlay prod                            a VXLAN overlay",
      "weft network create -d overlay --subnet 10.2.0.0/24 \\",
      "     --ip-range 10.2.0.64/26 \\",
      "     -o com.docker.network.driver.overlay.vxlanid_list=5000 \\",
      "     -o com.docker.network.driver.mtu=1400 wide                 one of several hosts: --ip-range is each one's own",
      "weft network create -d overlay --opt encrypted secret           in ESP; peers need keys (weft peer add --key-file)",
      "weft network create --ipv6 --subnet fd00:1::/64 --internal lab  both families, no way out",
      "weft network create -d macvlan -o parent=eth0.100 --subnet 10.4.0.0/24 vlan100     VLAN 100 of eth0",
      "weft network create --ipam-driver dhcp --ipam-opt if=eth0 lan    addresses from the plugin dhcp",
      "weft network create --config-only --subnet 10.3.0.0/24 settings",
      "weft network create --config-from settings web                 as settings say",
    ],
    run: (context, [name], flags) => create(context, name!, flags),
  })
    .option("-d, --driver <driver>", "bridge, overlay or macvlan (default: bridge); of host and none there is one network each")
    .option("--subnet <cidr>", "subnet, repeatable", collectList)
    .option("--ip-range <cidr>", "hand out addresses of this part of the subnet only, repeatable", collectList)
    .option("--gateway <address>", "gateway of the subnet, repeatable", collectList)
    .option("--aux-address <name=address>", "an address that belongs to something else, repeatable", collect)
    .option("--ipv4", "IPv4 addresses (default)")
    .option("--no-ipv4", "none")
    .option("--ipv6", "IPv6 addresses; from a default pool where no subnet is given")
    .option("--no-ipv6", "none (default)")
    .option("--internal", "no way out of the network")
    .addOption(new Option("--no-internal").hideHelp())
    .option("--attachable", "accepted for Docker's sake: any sandbox may attach to any network")
    .addOption(new Option("--no-attachable").hideHelp())
    .option("--scope <scope>", "local or global")
    .option("--ingress", "the network through which published ports of services come in; there is one")
    .option("--config-only", "settings for other networks, not a network")
    .option("--config-from <network>", "take the settings of this configuration-only network")
    .option("-o, --opt <key=value>", "driver option, repeatable", collect)
    .option("--label <key=value>", "label, repeatable", collect)
    .option("--ipam-driver <driver>", "who gives the addresses: default, null (nobody) or a plugin (default: default)")
    .option("--ipam-opt <key=value>", "IPAM driver option, repeatable", collect);

  leaf<{ filter?: string[]; trunc: boolean }>(network, host, {
    usage: "ls",
    summary: "List networks",
    examples: [
      "weft network ls",
      "weft network ls --filter driver=overlay --filter label=team=a",
      "weft network ls --format '{{.Name}}: {{.Subnets}}'",
    ],
    async run(context, _, flags) {
      const { networks } = await context.client.call("network", "List", { filters: flags.filter ?? [] });
      context.list(
        networks.map((one) => (flags.trunc ? networkRow(one) : { ...networkRow(one), ID: one.id })),
        {
          header: ["NETWORK ID", "NAME", "DRIVER", "SCOPE", "SUBNETS"],
          cells: (row) => [row.ID, row.Name, row.Driver, row.Scope, row.Subnets],
          id: (row) => row.ID,
          whole: [0, 1],
        },
      );
    },
  })
    .alias("list")
    .option("-f, --filter <key=value>", "name, id, driver, scope, label, type or dangling; repeatable", collect)
    .option("--no-trunc", "ids whole");

  leaf<{ verbose?: boolean }>(network, host, {
    usage: "inspect <network...>",
    summary: "Show networks whole, in Docker's JSON",
    examples: ["weft network inspect web", "weft network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' web"],
    async run(context, references, flags) {
      const found: object[] = [];
      try {
        await context.each(references, async (reference) => {
          found.push(networkDocument(await context.client.call("network", "Inspect", { network: reference }), flags.verbose));
        });
      } finally {
        context.inspect(found);
      }
    },
  })
    .option("-f <format>", "same as --format")
    .option("-v, --verbose", "also aliases, interfaces and gateway priorities of endpoints");

  leaf<{ force?: boolean }>(network, host, {
    usage: "rm <network...>",
    summary: "Remove networks that have no endpoints",
    examples: ["weft network rm web", "weft network rm a b c      goes on after a failure, exit code 1"],
    async run(context, references, { force }) {
      await context.each(references, async (reference) => {
        try {
          const { network: removed } = await context.client.call("network", "Remove", { network: reference });
          context.print(`${removed!.name}\n`);
        } catch (error) {
          if (!force || !(error instanceof WeftError) || error.code !== "NOT_FOUND") throw error;
        }
      });
    },
  })
    .alias("remove")
    .option("-f, --force", "no failure where there is none of that name");

  leaf<{ force?: boolean; filter?: string[] }>(network, host, {
    usage: "prune",
    summary: "Remove all networks that no sandbox is on",
    examples: ["weft network prune", "weft network prune -f --filter until=24h --filter label!=keep"],
    run: (context, _, flags) => prune(context, flags),
  })
    .option("-f, --force", "don't ask")
    .option("--filter <key=value>", "until=TIME, label=KEY[=VALUE] or label!=KEY[=VALUE]; repeatable, all must hold", collect);

  leaf<ConnectFlags>(network, host, {
    usage: "connect <network> <sandbox>",
    summary: "Attach a sandbox to a network",
    examples: [
      "weft network connect web a",
      "weft network connect --ip 10.1.0.9 --alias db web a",
      "weft network connect --link-local-ip 169.254.7.1 web a",
      "weft network connect --driver-opt com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1 web a",
    ],
    async run(context, [reference, sandbox], flags) {
      const { endpoint } = await context.client.call("endpoint", "Connect", {
        sandbox: sandbox!,
        attachment: {
          network: reference!,
          ipv4: flags.ip ?? "",
          ipv6: flags.ip6 ?? "",
          mac: flags.mac ?? "",
          linkLocalIps: flags.linkLocalIp ?? [],
          aliases: flags.alias ?? [],
          links: (flags.link ?? []).map(link),
          driverOptions: strictPairs("--driver-opt", flags.driverOpt?.map(unquoted)),
          gwPriority: flags.gwPriority === undefined ? 0 : wholeNumber("--gw-priority", flags.gwPriority),
        },
      });
      if (context.format !== "table") context.one(endpoint!, () => "");
    },
  })
    .option("--ip <address>", "IPv4 address")
    .option("--ip6 <address>", "IPv6 address")
    .option("--mac <mac>", "MAC address")
    .option("--link-local-ip <address>", "further address, of 169.254.0.0/16 or fe80::/10, repeatable", collectList)
    .option("--alias <name>", "another name of the sandbox on this network, repeatable", collectList)
    .option("--link <sandbox[:alias]>", "a name for that sandbox on this network, for this one alone, repeatable", collect)
    .option("--driver-opt <key=value>", "com.docker.network.endpoint.sysctls or .ifname, repeatable", collect)
    .option("--gw-priority <number>", "the highest gives the sandbox its default route (default: 0)");

  leaf<{ force?: boolean }>(network, host, {
    usage: "disconnect <network> <sandbox>",
    summary: "Take a sandbox off a network",
    examples: ["weft network disconnect web a"],
    async run(context, [reference, sandbox], flags) {
      await context.client.call("endpoint", "Disconnect", { sandbox: sandbox!, network: reference!, force: flags.force ?? false });
    },
  }).option("-f, --force", "also where its interface can't be taken down");
}
