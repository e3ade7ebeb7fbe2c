// The commands about networks: ls with filters and formats, inspect, rm and prune of several, what is missing among them.

/** A table's columns are two engines' own; the rows' order and cells are compared. @param {number} cells */
const rows = (cells) => (/** @type {string} */ text) =>
  text
    .split("\n")
    .map((line) =>
      line
        .split(/\s{2,}/)
        .slice(0, cells)
        .join("  ")
        .trimEnd(),
    )
    .join("\n");

const NAMES = ["--format", "{{.Name}} {{.Driver}} {{.Scope}}"];
/** Docker's own networks aside: one of the two has more of them. */
const withoutPredefined = (/** @type {string} */ text) =>
  text
    .split("\n")
    .filter((line) => !/^(bridge|weft_gwbridge) /.test(line))
    .join("\n");

/** @type {readonly (readonly [string, readonly string[]])[]} */
const FILTERS = [
  ["by driver", ["--filter", "driver=bridge"]],
  ["by two drivers", ["--filter", "driver=null", "--filter", "driver=host"]],
  ["by unknown driver", ["--filter", "driver=nosuch"]],
  ["by part of a name", ["--filter", "name=o"]],
  ["by anchored name", ["--filter", "name=^one$"]],
  ["by label", ["--filter", "label=team"]],
  ["by label and value", ["--filter", "label=team=a"]],
  ["by two labels", ["--filter", "label=team=a", "--filter", "label=tier"]],
  ["by scope", ["--filter", "scope=local"]],
  ["by scope swarm", ["--filter", "scope=swarm"]],
  ["by unknown scope", ["--filter", "scope=foo"]],
  ["by type custom", ["--filter", "type=custom"]],
  ["by type builtin", ["--filter", "type=builtin"]],
  ["by unknown type", ["--filter", "type=foo"]],
  ["dangling", ["--filter", "dangling=true"]],
  ["not dangling", ["--filter", "dangling=false"]],
  ["dangling that is no truth", ["--filter", "dangling=maybe"]],
  ["by unknown key", ["--filter", "foo=bar"]],
  ["by a filter that is none", ["--filter", "foo"]],
];

/** @param {import("../pair.mjs").Pair} pair */
export async function commands(pair) {
  await pair.both(
    ["network", "create", "--subnet", "10.91.0.0/24", "--label", "team=a", "--label", "tier=web", "one"],
    ["network", "create", "--subnet", "10.92.0.0/24", "--label", "team=b", "two"],
    ["network", "create", "--subnet", "10.93.0.0/24", "--internal", "three"],
    ["network", "create", "--ipv6", "--subnet", "10.94.0.0/24", "--subnet", "fd00:94::/64", "four"],
    ["start", "c1", "--network", "one"],
  );
  await pair.printed("ls", ["network", "ls", "--filter", "type=custom"], { edit: rows(4) });
  for (const [what, filters] of FILTERS)
    await pair.printed(`ls ${what}`, ["network", "ls", ...NAMES, ...filters], { edit: withoutPredefined });
  await pair.printed("ls -q", ["network", "ls", "-q", "--filter", "type=custom"]);
  await pair.printed("ls -q --no-trunc", ["network", "ls", "-q", "--no-trunc", "--filter", "type=custom"]);
  await pair.printed("ls of all fields", [
    ...["network", "ls", "--filter", "type=custom", "--format"],
    '{{.ID}} {{.Name}} {{.Driver}} {{.Scope}} {{.IPv6}} {{.Internal}} {{.Labels}} {{.Label "team"}} {{.CreatedAt}}',
  ]);
  await pair.json("ls as JSON", ["network", "ls", "--filter", "type=custom", "--format", "json"], (rows) =>
    [...rows].sort((a, b) => (a.Name < b.Name ? -1 : 1)),
  );
  await pair.printed(
    "ls as a table of one's own",
    ["network", "ls", "--filter", "type=custom", "--format", "table {{.Name}}\\t{{.Driver}}"],
    { edit: rows(2) },
  );
  await pair.printed("ls with a template that is none", ["network", "ls", "--format", "{{.Nosuch}}"], { edit: () => "" });
  await pair.json("inspect of two", ["network", "inspect", "two", "three"], (documents) =>
    documents.map((/** @type {any} */ { Name }) => Name),
  );
  await pair.json("inspect, one missing", ["network", "inspect", "two", "nosuch", "three"], (documents) =>
    documents.map((/** @type {any} */ { Name }) => Name),
  );
  await pair.printed("inspect of a missing one", ["network", "inspect", "nosuch"]);
  await pair.printed("inspect with a template", [
    "network",
    "inspect",
    "-f",
    "{{.Name}} {{.Driver}} {{.Internal}} {{range .IPAM.Config}}{{.Subnet}}{{end}}",
    "three",
  ]);
  await pair.printed("inspect, Containers by template", [
    "network",
    "inspect",
    "-f",
    "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}",
    "one",
  ]);
  await pair.printed("inspect, JSON of a field", ["network", "inspect", "-f", "{{json .Labels}}", "one"]);
  await pair.json("inspect --verbose", ["network", "inspect", "--verbose", "one"], (documents) => documents[0].Containers);
  await pair.printed("inspect of nothing", ["network", "inspect"]);
  await pair.refused("rm of nothing", ["network", "rm"]);
  for (const name of ["bridge", "host", "none", "nosuch"]) await pair.refused(`rm ${name}`, ["network", "rm", name]);
  await pair.printed("rm -f of a missing one", ["network", "rm", "-f", "nosuch"]);
  await pair.printed("rm of several, one missing, one in use", ["network", "rm", "two", "nosuch", "one"]);
  await pair.printed("prune, not confirmed", ["network", "prune"], {
    input: "n\n",
    edit: (text) => text.replace(/ by at least one \w+/, ""),
  });
  await pair.printed("prune by label", ["network", "prune", "-f", "--filter", "label=nosuch"]);
  await pair.printed("prune by unknown filter", ["network", "prune", "-f", "--filter", "foo=bar"]);
  await pair.printed("prune until an hour ago", ["network", "prune", "-f", "--filter", "until=1h"]);
  await pair.printed("prune until what is no time", ["network", "prune", "-f", "--filter", "until=foo"]);
  await pair.printed("prune", ["network", "prune", "-f"], { edit: (text) => text.split("\n").sort().join("\n").trim() });
  await pair.printed("ls after prune", ["network", "ls", "--filter", "type=custom", ...NAMES]);
  await pair.clean();
}
