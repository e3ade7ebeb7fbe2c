// Asks a resolver for one name again and again, so many questions under way at a time, and counts the answers. Prints JSON.
//
//   node dns-client.mjs ADDRESS NAME SECONDS
import { createSocket } from "node:dgram";

const [address = "", name = "", seconds = "1"] = process.argv.slice(2);
const SOCKETS = 4;
const UNDER_WAY = 16;

const labels = name.split(".").map((label) => Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
const query = Buffer.concat([Buffer.from("123401000001000000000000", "hex"), ...labels, Buffer.of(0, 0, 1, 0, 1)]);

let answers = 0;
let over = false;
const sockets = await Promise.all(
  Array.from({ length: SOCKETS }, async () => {
    const socket = createSocket("udp4");
    await new Promise((done) => socket.connect(53, address, () => done(undefined)));
    socket.on("message", (answer) => {
      // NOERROR with one answer or more.
      if ((answer[3] ?? 15) % 16 !== 0 || answer.readUInt16BE(6) === 0) throw new Error("no answer");
      answers++;
      if (!over) socket.send(query);
    });
    return socket;
  }),
);
const started = performance.now();
for (const socket of sockets) for (let n = 0; n < UNDER_WAY; n++) socket.send(query);
setTimeout(() => {
  over = true;
  console.log(JSON.stringify({ answers, seconds: (performance.now() - started) / 1000 }));
  for (const socket of sockets) socket.close();
}, Number(seconds) * 1000);
