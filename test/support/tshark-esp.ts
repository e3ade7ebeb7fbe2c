// tshark with the keys: what ESP on a link held, by a decoder and a cipher that are Wireshark's.
import { must } from "./hosts.ts";

export interface EspKey {
  readonly spi: number;
  readonly esn: boolean;
  /** Key and salt. */
  readonly key: Uint8Array;
}

/** As Wireshark's table of associations calls it; it knows no ChaCha20-Poly1305. */
const CIPHER = "AES-GCM with 16 octet ICV [RFC4106]";

/** One row a packet that passes the display filter once it is decrypted, with the innermost values of the fields. */
export async function espFields(
  file: string,
  family: "ipv4" | "ipv6",
  keys: readonly EspKey[],
  filter: string,
  fields: readonly string[],
): Promise<string[][]> {
  const associations = keys.flatMap(({ spi, esn, key }) => {
    const name = family === "ipv4" ? "IPv4" : "IPv6";
    const values = [name, "*", "*", `0x${spi.toString(16)}`, CIPHER, `0x${Buffer.from(key).toString("hex")}`, "NULL", ""];
    return ["-o", `uat:esp_sa:${[...values, esn ? "64-bit" : "32-bit", "0"].map((value) => `"${value}"`).join(",")}`];
  });
  const text = await must([
    ...["tshark", "-n", "-r", file, "-o", "esp.enable_encryption_decode:TRUE", ...associations],
    ...["-Y", filter, "-T", "fields", "-E", "occurrence=l", ...fields.flatMap((field) => ["-e", field])],
  ]);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split("\t"));
}
