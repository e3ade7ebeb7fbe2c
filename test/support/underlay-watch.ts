// Somebody who listens on the underlay while keys come and go. Sandboxes of the encrypted network say one word to each other all
// the time, those of the plain network another one: the first must never be seen, nor a VXLAN header or addresses of its network;
// the second shows that the listener would have seen it.
//
// Looked for twice: in the capture's bytes, whatever they are said to be, and by tshark's dissector of VXLAN.
import { readFileSync } from "node:fs";
import { ADDRESSES, type EncryptedHosts, PLAIN_VNI, SAFE_VNI } from "./encrypted-hosts.ts";
import type { Background, Lab } from "./hosts.ts";
import { fieldsOf, LinkCapture } from "./link-capture.ts";

const WORDS = { safe: "weft", plain: "open" } as const;

/** A VXLAN header (RFC 7348): flags, VNI. */
function headerOf(vni: number): Buffer {
  const header = Buffer.from("0800000000000000", "hex");
  header.writeUIntBE(vni, 4, 3);
  return header;
}

const bytesOf = (address: string): Buffer => Buffer.from(address.split(".").map(Number));

/** Source and destination as they stand in an IPv4 header, both ways. */
const pairsOf = (one: string, other: string): Buffer[] => [
  Buffer.concat([bytesOf(one), bytesOf(other)]),
  Buffer.concat([bytesOf(other), bytesOf(one)]),
];

export interface Sight {
  /** What of a network was seen, and how often; nothing: nothing. */
  readonly safe: Readonly<Record<string, number>>;
  readonly plain: Readonly<Record<string, number>>;
  readonly esp: number;
}

function count(bytes: Buffer, what: Buffer): number {
  let n = 0;
  for (let at = bytes.indexOf(what); at >= 0; at = bytes.indexOf(what, at + 1)) n++;
  return n;
}

export class UnderlayWatch {
  readonly #capture: LinkCapture;
  readonly #talk: readonly Background[];

  private constructor(capture: LinkCapture, talk: readonly Background[]) {
    this.#capture = capture;
    this.#talk = talk;
  }

  static async start(lab: Lab, all: EncryptedHosts): Promise<UnderlayWatch> {
    const capture = await LinkCapture.start(lab, all.hostA, "up0");
    const { sa, sb, pa, pb } = all.sandboxes;
    const talk = (
      [
        [sa, "safe", ADDRESSES.sb],
        [sb, "safe", ADDRESSES.sa],
        [pa, "plain", ADDRESSES.pb],
        [pb, "plain", ADDRESSES.pa],
      ] as const
    ).flatMap(([from, network, addresses]) =>
      addresses.map((address) =>
        lab.background(from, ["ping", "-n", "-q", "-i", "0.05", "-s", "200", "-p", Buffer.from(WORDS[network]).toString("hex"), address]),
      ),
    );
    return new UnderlayWatch(capture, talk);
  }

  /** Ends the talk; what was seen of it. */
  async end(): Promise<Sight> {
    await Promise.all(this.#talk.map((one) => one.end("SIGINT")));
    const file = await this.#capture.stop();
    const bytes = readFileSync(file);
    const of = async (word: string, vni: number, pair: readonly [string, string]): Promise<Record<string, number>> => {
      const seen = {
        words: count(bytes, Buffer.from(word.repeat(3))),
        headers: count(bytes, headerOf(vni)),
        addresses: pairsOf(...pair).reduce((sum, one) => sum + count(bytes, one), 0),
        dissected: (await fieldsOf(file, `vxlan.vni == ${vni} or frame contains "${word.repeat(3)}"`, ["frame.number"])).length,
      };
      return Object.fromEntries(Object.entries(seen).filter(([, times]) => times > 0));
    };
    return {
      safe: await of(WORDS.safe, SAFE_VNI, [ADDRESSES.sa[0], ADDRESSES.sb[0]]),
      plain: await of(WORDS.plain, PLAIN_VNI, [ADDRESSES.pa[0], ADDRESSES.pb[0]]),
      esp: (await fieldsOf(file, "esp", ["frame.number"])).length,
    };
  }
}
