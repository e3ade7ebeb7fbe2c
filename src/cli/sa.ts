// weft sa: security associations, without their keys.
import type { Command } from "commander";
import type { Association__Output } from "../api/generated/weft/v1/Association.ts";
import { leaf, type Session } from "./command.ts";
import { amount, figure, span } from "./values.ts";

const row = (one: Association__Output) => ({
  Spi: `0x${one.spi.toString(16).padStart(8, "0")}`,
  Peer: one.peer,
  Direction: one.direction,
  Algorithm: one.algorithm,
  Transport: one.espTransport,
  Current: one.current,
  AgeS: one.ageS,
  Packets: figure(one.packets),
  Bytes: figure(one.bytes),
  Sequence: figure(one.sequence),
  Replayed: figure(one.replayed),
  Late: figure(one.late),
  Forged: figure(one.forged),
  Malformed: figure(one.malformed),
  Esn: one.esn,
  IcvBytes: one.icvBytes,
  PathMtu: one.pathMtuBytes,
});

export function register(program: Command, host: Session): void {
  leaf(program, host, {
    usage: "sa [network]",
    summary: "Security associations of encrypted networks: peers, ages, figures; no keys",
    examples: ["weft sa", "weft sa prod                            those with peers of network prod", "weft sa --format json"],
    async run(context, [network]) {
      const { associations } = await context.client.call("key", "Associations", { network: network ?? "" });
      context.list(associations.map(row), {
        // Fits 80 columns: the rest is in JSON, and causes of drops in `weft drops`.
        header: ["SPI", "PEER", "DIR", "ALGORITHM", "AGE", "PACKETS", "BYTES", "REPLAY"],
        cells: (one) => [
          ...[one.Spi, one.Peer, `${one.Direction}${one.Current ? "*" : ""}`, one.Algorithm, span(one.AgeS)],
          ...[one.Packets, one.Bytes, Number(one.Replayed) + Number(one.Late)].map((value) => amount(Number(value))),
        ],
        id: (one) => one.Spi,
        whole: [0],
        right: [5, 6, 7],
      });
    },
  });
}
