// A thousand questions in random worlds, against a model that knows nothing of zones: it goes through all records for each
// question, as the sentence in the documentation reads. Packets are dns-packet's.
import packet from "dns-packet";
import { expect, it } from "vitest";
import type { EndpointRecord, SandboxRecord } from "../../src/records/records.ts";
import { ask, dataOf, decode, endpoint, network, rcode, resolverOf, sandbox, type World } from "../support/dns-world.ts";
import { type Random, random } from "../support/random.ts";

const SEED = Number(process.env.WEFT_DNS_SEED ?? 1);
const WORLDS = 50;
const QUESTIONS = 20;
const LABELS = ["a", "b", "c", "Web", "db", "api.v1", "x.y.z"];
const TYPES = ["A", "AAAA", "MX", "TXT", "ANY", "SRV", "PTR", "HTTPS"];

function randomWorld({ below, pick, chance }: Random): World {
  const names = [...new Set(Array.from({ length: 1 + below(4) }, () => pick(["net", "Web", "c", "y.z", "b.c"])))].sort();
  const networks = names.map(network);
  const sandboxNames = [...new Set(Array.from({ length: 1 + below(6) }, () => `${pick(LABELS)}${pick(["", "1", "2"])}`))];
  const sandboxes = sandboxNames.map((name) => sandbox(name, chance(0.3) ? { hostname: pick(LABELS) } : {}));
  const endpoints: EndpointRecord[] = [];
  for (const [net, on] of networks.entries()) {
    for (const [host, of] of sandboxes.entries()) {
      if (!chance(0.6)) continue;
      const ipv4 = chance(0.8) ? `10.${net}.0.${host + 2}/24` : null;
      const ipv6 = chance(0.5) || ipv4 === null ? `fd00:${net + 1}::${(host + 2).toString(16)}/64` : null;
      endpoints.push(endpoint(on, of, { ipv4, ipv6, aliases: Array.from({ length: below(3) }, () => pick(LABELS)) }));
    }
  }
  return { networks, sandboxes, endpoints };
}

const same = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

/** The endpoints that `name` means to `asker`, network by network in the order in which they count. */
function meant(world: World, asker: SandboxRecord, name: string): EndpointRecord[][] {
  const attached = world.networks.filter(({ id }) => world.endpoints.some((one) => one.networkId === id && one.sandboxId === asker.id));
  const onNetwork = (id: string, called: string): EndpointRecord[] =>
    world.endpoints.filter((one) => {
      const of = world.sandboxes.find((any) => any.id === one.sandboxId)!;
      return one.networkId === id && [of.name, ...one.aliases, of.id.slice(0, 12), of.hostname].some((any) => same(any, called));
    });
  const found = attached.map(({ id }) => onNetwork(id, name));
  const labels = name.split(".");
  for (let cut = labels.length - 1; cut > 0; cut--) {
    for (const { id, name: net } of attached) {
      if (same(net, labels.slice(cut).join("."))) found.push(onNetwork(id, labels.slice(0, cut).join(".")));
    }
  }
  return found.filter((one) => one.length > 0);
}

/** Sorted addresses, or null: the question is for an upstream. */
function expected(world: World, asker: SandboxRecord, name: string, type: string): string[] | null {
  const found = meant(world, asker, name);
  if (found.length === 0) return null;
  const of = (family: "ipv4" | "ipv6"): string[] => {
    const first = found.find((endpoints) => endpoints.some((one) => one[family] !== null)) ?? [];
    return first.flatMap((one) => one[family]?.split("/")[0] ?? []);
  };
  const addresses = [...(type === "A" || type === "ANY" ? of("ipv4") : []), ...(type === "AAAA" || type === "ANY" ? of("ipv6") : [])];
  return addresses.sort();
}

function randomName({ pick, chance, below }: Random, world: World): string {
  const known = chance(0.2) ? pick(world.sandboxes).id.slice(0, 12) : pick(world.sandboxes).name;
  const base = chance(0.5) ? known : chance(0.1) ? "nobody" : `${pick(LABELS)}${pick(["", "", "1", "2"])}`;
  const name = chance(0.5) ? base : `${base}.${pick(world.networks).name}`;
  return [...name].map((letter) => (below(4) === 0 ? letter.toUpperCase() : letter)).join("");
}

it(`answers ${WORLDS * QUESTIONS} random questions as the model does (seed ${SEED})`, async () => {
  const draws = random(SEED);
  let local = 0;
  for (let round = 0; round < WORLDS; round++) {
    const world = randomWorld(draws);
    for (let question = 0; question < QUESTIONS; question++) {
      const asker = draws.pick(world.sandboxes);
      const name = randomName(draws, world);
      const type = draws.pick(TYPES);
      const bench = resolverOf(world, asker, async ({ bytes }) => {
        const { id, questions } = decode(bytes);
        return packet.encode({ type: "response", id: id!, flags: 3, questions: questions! });
      });
      const answer = await ask(bench, name, { type, ...(draws.chance(0.5) ? { edns: 1232 } : {}), overTcp: draws.chance(0.3) });
      const model = expected(world, asker, name, type);
      if (model !== null) local++;
      const got = { question: answer.questions![0]!.name, code: rcode(answer), data: dataOf(answer).sort(), asked: bench.asked.length };
      expect({ asker: asker.name, type, ...got }).toEqual({
        asker: asker.name,
        type,
        question: name,
        code: model === null ? "NXDOMAIN" : "NOERROR",
        data: model ?? [],
        asked: model === null ? 1 : 0,
      });
    }
  }
  // Worlds in which all is foreign would prove nothing.
  expect(local).toBeGreaterThan(300);
});
