// Publishing: the forms that -p takes and refuses, what `port` prints of them, and what reaches a container from where.
import { HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS } from "../machine.mjs";

/** Forms that succeed; a port that the engine chooses is printed as one. @type {readonly (readonly [string, readonly string[]])[]} */
const FORMS = [
  ["8080:80", ["-p", "8080:80"]],
  ["8081:80/udp", ["-p", "8081:80/udp"]],
  ["port alone", ["-p", "80"]],
  ["one address", ["-p", "127.0.0.1:8082:80"]],
  ["one address, any port", ["-p", "127.0.0.1::80"]],
  ["IPv6 address", ["-p", "[::1]:8083:80"]],
  ["ranges", ["-p", "8100-8102:80-82"]],
  ["range of the host", ["-p", "8110-8112:80"]],
  ["several", ["-p", "8120:80", "-p", "8121:80", "-p", "8122:443"]],
  ["both protocols", ["-p", "8130:53/tcp", "-p", "8130:53/udp"]],
  ["all exposed", ["--expose", "80", "--expose", "90-91/udp", "-P"]],
  ["exposed only", ["--expose", "80"]],
  ["address 0.0.0.0", ["-p", "0.0.0.0:8140:80"]],
  ["port 0", ["-p", "0:80"]],
  ["nothing", []],
];

/** @type {readonly (readonly [string, readonly string[]])[]} */
const REFUSALS = [
  ["no number", ["-p", "foo"]],
  ["port 0 of the container", ["-p", "0"]],
  ["port too large", ["-p", "65536"]],
  ["host port too large", ["-p", "70000:80"]],
  ["unknown protocol", ["-p", "80/foo"]],
  ["ranges of different length", ["-p", "8000-8002:80-81"]],
  ["range that goes backwards", ["-p", "8002-8000:80"]],
  ["address that is none", ["-p", "foo:8080:80"]],
  ["address out of range", ["-p", "256.0.0.1:8080:80"]],
  ["IPv6 address without brackets", ["-p", "::1:8080:80"]],
  ["address not of this host", ["-p", "203.0.113.9:8080:80"]],
  ["port taken by a container", ["-p", "8000:80"]],
  ["port taken by a container, one address", ["-p", "127.0.0.1:8000:80"]],
  ["port taken by a program", ["-p", "7000:80"]],
  ["empty", ["-p", ""]],
  ["no container port", ["-p", "8080:"]],
  ["negative", ["-p", "-80"]],
  ["exposed that is none", ["--expose", "foo"]],
  ["exposed with a host port", ["--expose", "80:80"]],
  ["exposed with an unknown protocol", ["--expose", "80/foo"]],
];

/** Ports that the engine chose are in the kernel's ephemeral range. @param {string} text */
const chosen = (text) =>
  text
    .replace(/:(3[2-9]\d{3}|[45]\d{4}|6[0-5]\d{3})$/gm, ":<chosen>")
    .split("\n")
    .sort()
    .join("\n")
    .trim();

/** @param {any} value @returns {any} */
const chosenTree = (value) =>
  JSON.parse(JSON.stringify(value).replace(/"HostPort":"(3[2-9]\d{3}|[45]\d{4}|6[0-5]\d{3})"/g, '"HostPort":"<chosen>"'));

/** A line that the container on `port` answers with; empty when none does. @param {string} address @param {string} port @param {string[]} [flags] */
const ask = (address, port, flags = []) => [
  "curl",
  "-s",
  "-m",
  "2",
  ...flags,
  `http://${address.includes(":") ? `[${address}]` : address}:${port}/who`,
];

/** @param {import("../pair.mjs").Pair} pair */
export async function ports(pair) {
  await pair.both(["network", "create", "--subnet", "10.121.0.0/24", "a"], ["start", "holder", "--network", "a", "-p", "8000:80"]);
  await pair.each(async (side) => {
    side.machine.serve([process.execPath, "-e", "require('net').createServer().listen(7000,'0.0.0.0')"], `${side.name}-holder`);
    return side.machine.do(["sh", "-c", "for i in $(seq 50); do ss -ltn | grep -q :7000 && exit; sleep 0.1; done; exit 1"]);
  });
  for (const [what, flags] of FORMS) {
    await pair.both(["start", "c1", "--network", "a", ...flags]);
    await pair.printed(`port: ${what}`, ["port", "c1"], { edit: chosen });
    await pair.json(`inspect: ${what}`, ["container-inspect", "c1"], (documents) => chosenTree(documents[0].NetworkSettings.Ports));
    await pair.both(["remove", "c1"]);
  }
  for (const [what, flags] of REFUSALS) {
    await pair.refused(`refused: ${what}`, ["start", "bad", "--network", "a", ...flags]);
    await pair.act(["remove", "bad"]);
  }
  await pair.refused("on the host's stack: discarded, with a warning", ["start", "c1", "--network", "host", "-p", "8200:80"]);
  await pair.printed("port: on the host's stack", ["port", "c1"]);
  await pair.both(["remove", "c1"]);
  await pair.refused("on the host's stack: all exposed", ["start", "c1", "--network", "host", "--expose", "80", "-P"]);
  await pair.both(["remove", "c1"]);
  await pair.printed("port of one", ["port", "holder", "80"]);
  await pair.printed("port of one with its protocol", ["port", "holder", "80/tcp"]);
  await pair.printed("port that is not published", ["port", "holder", "81"]);
  await pair.printed("port that is none", ["port", "holder", "foo"]);
  await pair.printed("port of an unknown container", ["port", "nosuch"]);
  await pair.clean();
}

/** @param {import("../pair.mjs").Pair} pair */
export async function reach(pair) {
  await pair.both(
    ["network", "create", "--ipv6", "--subnet", "10.131.0.0/24", "--subnet", "fd00:131::/64", "a"],
    ["network", "create", "--subnet", "10.132.0.0/24", "b"],
    ["network", "create", "--subnet", "10.133.0.0/24", "-o", "com.docker.network.bridge.enable_icc=false", "quiet"],
    ["network", "create", "--internal", "--subnet", "10.134.0.0/24", "inner"],
    ["start", "web", "--network", "a", "-p", "8080:80", "-p", "127.0.0.1:8081:80"],
    ["start", "near", "--network", "a"],
    ["start", "far", "--network", "b"],
    ["start", "q1", "--network", "quiet", "-p", "8090:80"],
    ["start", "q2", "--network", "quiet"],
    ["start", "i1", "--network", "inner"],
    ["start", "i2", "--network", "inner"],
  );
  // Every path is a 404 with a page, which both sides must get or not get.
  const who = ["httpd", "-f", "-p", "80", "-h", "/tmp"];
  for (const name of ["web", "q1", "i1"]) await pair.act(["serve", name, ...who]);
  for (const [name, address] of [
    ["web", "10.131.0.2"],
    ["q1", "10.133.0.2"],
  ]) {
    await pair.each((side) =>
      side.machine.do([
        "sh",
        "-c",
        `for i in $(seq 50); do curl -s -m 1 http://${address}/ | grep -q 404 && exit; sleep 0.1; done; exit 1`,
      ]),
    );
    await pair.onHost(`host to ${name}`, ask(address ?? "", "80"));
  }
  await pair.outside("outside to a published port", ask(HOST_ADDRESS, "8080"));
  await pair.outside("outside to a published port by IPv6", ask(HOST_ADDRESS6, "8080"));
  await pair.outside("outside to a port of the loopback", ask(HOST_ADDRESS, "8081"));
  await pair.onHost("host to a published port by loopback", ask("127.0.0.1", "8080"));
  await pair.onHost("host to a published port by IPv6 loopback", ask("::1", "8080"));
  await pair.onHost("host to a port of the loopback", ask("127.0.0.1", "8081"));
  await pair.onHost("host to a published port by its own address", ask(HOST_ADDRESS, "8080"));
  await pair.within("itself by the published port", "web", ask(HOST_ADDRESS, "8080"));
  await pair.within("neighbour by the published port", "near", ask(HOST_ADDRESS, "8080"));
  await pair.within("neighbour direct", "near", ask("10.131.0.2", "80"));
  await pair.within("neighbour direct by IPv6", "near", ask("fd00:131::2", "80"));
  await pair.within("another network by the published port", "far", ask(HOST_ADDRESS, "8080"));
  await pair.within("another network direct", "far", ask("10.131.0.2", "80"));
  await pair.within("ICC off: neighbour", "q2", ask("10.133.0.2", "80"));
  await pair.within("ICC off: published port", "q2", ask(HOST_ADDRESS, "8090"));
  await pair.within("internal: neighbour", "i2", ask("10.134.0.2", "80"));
  await pair.within("internal: outside", "i2", ["ping", "-c1", "-W1", OUTSIDE_ADDRESS], () => "");
  await pair.within("internal: gateway", "i2", ["ping", "-c1", "-W1", "10.134.0.1"], () => "");
  await pair.within("outside", "near", ["ping", "-c1", "-W1", OUTSIDE_ADDRESS], () => "");
  await pair.within("gateway", "near", ["ping", "-c1", "-W1", "10.131.0.1"], () => "");
  await pair.within("gateway of another network", "near", ["ping", "-c1", "-W1", "10.132.0.1"], () => "");
  await pair.outside("outside to a container by route", [
    "sh",
    "-c",
    `ip route replace 10.131.0.0/24 via ${HOST_ADDRESS}; exec ${ask("10.131.0.2", "80").join(" ")}`,
  ]);
  await pair.clean();
}
