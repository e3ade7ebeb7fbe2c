// The name server that both machines ask: one name with both families, all else does not exist. UDP and TCP.
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { decode, encode } from "dns-packet";
import { OUTSIDE_ADDRESS } from "./machine.mjs";

/** @type {Record<string, string>} */
const ANSWERS = { A: "198.51.100.7", AAAA: "2001:db8:7::7" };
const NAME = "up.example.test";
const [AUTHORITATIVE, RECURSIVE, NXDOMAIN] = [0x0400, 0x0180, 3];

/** @param {Buffer} message */
function reply(message) {
  const asked = decode(message);
  const question = asked.questions?.[0];
  const known = question?.name.toLowerCase() === NAME;
  const data = known ? ANSWERS[question?.type ?? ""] : undefined;
  return encode({
    id: asked.id ?? 0,
    type: "response",
    flags: AUTHORITATIVE | RECURSIVE | (known ? 0 : NXDOMAIN),
    questions: asked.questions ?? [],
    answers:
      data === undefined
        ? []
        : [/** @type {import("dns-packet").Answer} */ ({ name: question?.name, type: question?.type, ttl: 60, data })],
  });
}

const udp = createSocket("udp4");
udp.on("message", (message, from) => udp.send(reply(message), from.port, from.address));
udp.bind(53, OUTSIDE_ADDRESS);
createServer((socket) => {
  socket.once("data", (bytes) => {
    const answer = reply(bytes.subarray(2));
    socket.end(Buffer.concat([Buffer.from([answer.length >> 8, answer.length & 255]), answer]));
  });
  socket.on("error", () => {});
}).listen(53, OUTSIDE_ADDRESS);
