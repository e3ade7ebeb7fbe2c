// Certificates by openssl: an authority in a folder, and what it signs. PEM files, keys without passphrase.
import { execFileSync } from "node:child_process";
import { join } from "node:path";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const openssl = (...args: readonly string[]): void => void execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });

export class TestAuthority implements Certificate {
  readonly cert: string;
  readonly key: string;
  readonly #folder: string;

  constructor(folder: string, name: string) {
    this.#folder = folder;
    ({ cert: this.cert, key: this.key } = this.#files(name));
    openssl(...this.#request(name), "-days", "2", "-keyout", this.key, "-out", this.cert);
  }

  /** `names`: "DNS:localhost,IP:127.0.0.1". */
  sign(name: string, names: string): Certificate {
    const { cert, key } = this.#files(name);
    const signing = [
      "-CA",
      this.cert,
      "-CAkey",
      this.key,
      "-addext",
      `subjectAltName=${names}`,
      "-addext",
      "basicConstraints=critical,CA:FALSE",
    ];
    openssl(...this.#request(name), ...signing, "-days", "2", "-keyout", key, "-out", cert);
    return { cert, key };
  }

  /** The same, but it ended yesterday. */
  expired({ cert, key }: Certificate): Certificate {
    const [old, request] = [`${cert}.old`, `${cert}.request`];
    openssl("x509", "-x509toreq", "-copy_extensions", "copyall", "-in", cert, "-signkey", key, "-out", request);
    const signing = ["-req", "-in", request, "-copy_extensions", "copyall", "-CA", this.cert, "-CAkey", this.key, "-CAcreateserial"];
    openssl("x509", ...signing, "-days", "-1", "-out", old);
    return { cert: old, key };
  }

  #request(name: string): string[] {
    return ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", `/CN=${name}`];
  }

  #files(name: string): Certificate {
    return { cert: join(this.#folder, `${name}.pem`), key: join(this.#folder, `${name}.key`) };
  }
}
