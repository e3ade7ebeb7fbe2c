// Answers of the name server in a container, as dig shows them: status, flags that a client acts on, records with their time to
// live. The server outside knows up.example.test and nothing else.
import { fileURLToPath } from "node:url";

const SERVER = fileURLToPath(new URL("../outside-dns.mjs", import.meta.url));

/** @type {readonly (readonly [string, readonly string[]])[]} */
const QUESTIONS = [
  ["name", ["c2", "A"]],
  ["name in capitals", ["C2", "A"]],
  ["name, AAAA on an IPv4 network", ["c2", "AAAA"]],
  ["name on a network of both families", ["c3", "AAAA"]],
  ["name and its network", ["c2.a", "A"]],
  ["name and another network", ["c2.b", "A"]],
  ["alias", ["db", "A"]],
  ["alias in mixed case", ["dB", "A"]],
  ["host name of its own", ["box", "A"]],
  ["MX of a name", ["c2", "MX"]],
  ["TXT of a name", ["c2", "TXT"]],
  ["SRV of a name", ["c2", "SRV"]],
  ["HTTPS of a name", ["c2", "HTTPS"]],
  ["any of a name", ["c2", "ANY"]],
  ["PTR of an address", ["-x", "10.111.0.3"]],
  ["PTR of the IPv6 address", ["-x", "fd00:112::2"]],
  ["PTR of an address of nobody", ["-x", "10.111.0.99"]],
  ["PTR of a stranger", ["-x", "198.51.100.7"]],
  ["name outside", ["up.example.test", "A"]],
  ["name outside, AAAA", ["up.example.test", "AAAA"]],
  ["name outside that there is not", ["nosuch.example.test", "A"]],
  ["single label of nobody", ["nosuch", "A"]],
  ["name by TCP", ["+tcp", "c2", "A"]],
  ["name outside by TCP", ["+tcp", "up.example.test", "A"]],
  ["name without EDNS", ["+noedns", "c2", "A"]],
  ["name with a dot at its end", ["c2.", "A"]],
  ["container of another network only", ["c4", "A"]],
  ["the gateway", ["-x", "10.111.0.1"]],
  ["name without recursion", ["+norecurse", "c2", "A"]],
  ["class chaos", ["-c", "CH", "c2", "TXT"]],
];

/** What dig prints of the answer; its time to live and EDNS are cases of their own. @param {string} text */
function answer(text) {
  const lines = text
    .split("\n")
    .filter(
      (line) => !/^;; (?:Query time|WHEN|SERVER|MSG SIZE|Got|Sending|global)|^; <<>>|^; COOKIE|^; EDNS|^;; OPT|^;; global|^$/.test(line),
    );
  return lines
    .map((line) =>
      line
        .replace(/, id: \d+/, "")
        .replace(/\s+/g, " ")
        .replace(/, ADDITIONAL: \d+/, "")
        .replace(/^(\S+) \d+ IN /, "$1 TTL IN "),
    )
    .sort()
    .join("\n");
}

/** @param {import("../pair.mjs").Pair} pair */
export async function names(pair) {
  await pair.each(async (side) => {
    side.machine.serveOutside([process.execPath, SERVER], `${side.name}-dns`);
    return side.machine.do([
      "sh",
      "-c",
      "for i in $(seq 50); do dig +short +time=1 +tries=1 @192.0.2.2 up.example.test | grep -q . && exit; sleep 0.1; done; exit 1",
    ]);
  });
  await pair.both(
    ["network", "create", "--subnet", "10.111.0.0/24", "a"],
    ["network", "create", "--ipv6", "--subnet", "10.112.0.0/24", "--subnet", "fd00:112::/64", "b"],
    ["network", "create", "--subnet", "10.113.0.0/24", "other"],
    ["start", "c1", "--network", "a"],
    ["start", "c2", "--network", "name=a,alias=db", "--hostname", "box"],
    ["start", "c3", "--network", "b"],
    ["start", "c4", "--network", "other"],
    ["network", "connect", "b", "c1"],
  );
  for (const [what, question] of QUESTIONS)
    await pair.within(what, "c1", ["dig", "+time=2", "+tries=1", "@127.0.0.11", ...question], answer);
  const plain = (/** @type {string} */ text) => text.replace(/\s+/g, " ").replace(/udp: \d+/, "");
  await pair.within("time to live", "c1", ["dig", "+time=2", "+tries=1", "+noall", "+answer", "@127.0.0.11", "c2", "A"], plain);
  await pair.within("EDNS", "c1", ["dig", "+time=2", "+tries=1", "+noall", "+comments", "@127.0.0.11", "c2", "A"], (text) =>
    /EDNS: version: 0/.test(text) ? "answered with EDNS" : "answered without EDNS",
  );
  await pair.both(["network", "disconnect", "a", "c2"]);
  await pair.within("name after it left", "c1", ["dig", "+time=2", "+tries=1", "@127.0.0.11", "c2", "A"], answer);
  await pair.clean();
}
