// TLS with a plugin: what TLSConfig of its description names, read and judged before it is used, and what went wrong with a
// handshake, in words that say what to change. Without CAFile a plugin is held to the authorities of the system (dockerd
// verifies nothing then): it decides on addresses, so it has to be who it says it is, or InsecureSkipVerify has to say otherwise.
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { unavailable } from "../errors.ts";

export interface PluginTls {
  readonly verify: boolean;
  /** Contents of files, PEM. */
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
}

export interface TlsFiles {
  readonly InsecureSkipVerify?: boolean | undefined;
  readonly CAFile?: string | undefined;
  readonly CertFile?: string | undefined;
  readonly KeyFile?: string | undefined;
}

/** A handshake that another attempt would not mend. The message has the remedy. */
export class TlsFailed extends Error {}

/** Throws UNAVAILABLE naming `description`, the field and its file, where one can't be used. */
export function readTls({ InsecureSkipVerify = false, CAFile, CertFile, KeyFile }: TlsFiles, description: string): PluginTls {
  const load = <T>(field: string, path: string, read: (pem: Buffer) => T, what: string): { pem: Buffer; value: T } => {
    let pem: Buffer;
    try {
      pem = readFileSync(path);
    } catch (error) {
      throw unavailable(`${description}: TLSConfig.${field} can't be read: ${(error as Error).message}`);
    }
    try {
      return { pem, value: read(pem) };
    } catch {
      throw unavailable(`${description}: TLSConfig.${field} ${path} holds no ${what}`);
    }
  };
  const certificate = (pem: Buffer): X509Certificate => new X509Certificate(pem);
  if (!CertFile !== !KeyFile) {
    throw unavailable(
      `${description}: TLSConfig.CertFile and TLSConfig.KeyFile need each other, ${CertFile ? "KeyFile" : "CertFile"} is missing`,
    );
  }
  const ca = CAFile ? load("CAFile", CAFile, certificate, "certificate (PEM)") : null;
  const cert = CertFile ? load("CertFile", CertFile, certificate, "certificate (PEM)") : null;
  const key = KeyFile
    ? load("KeyFile", KeyFile, (pem): KeyObject => createPrivateKey(pem), "private key without a passphrase (PEM)")
    : null;
  if (cert !== null && key !== null && !cert.value.checkPrivateKey(key.value)) {
    throw unavailable(`${description}: TLSConfig.KeyFile ${KeyFile} is not the key of the certificate ${CertFile}`);
  }
  return {
    verify: !InsecureSkipVerify,
    ...(ca === null ? {} : { ca: ca.pem }),
    ...(cert === null ? {} : { cert: cert.pem }),
    ...(key === null ? {} : { key: key.pem }),
  };
}

/** The first bytes of a handshake go out as a write, whose errors have a code of their own: then OpenSSL's words are in the text. */
const NO_TLS = /wrong[ _]version[ _]number|http[ _]request|packet[ _]length[ _]too[ _]long/i;
/** Node has OpenSSL's names of X509_V_ERR_* for codes. */
const UNTRUSTED = /^(UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_UNTRUSTED|CERT_REJECTED|CERT_SIGNATURE_FAILURE|INVALID_CA|INVALID_PURPOSE)/;

/** Null: `error` is none of TLS. `host`: as the address has it. */
export function explainTls(error: Error, tls: PluginTls, host: string): TlsFailed | null {
  const { code = "" } = error as NodeJS.ErrnoException;
  const failed = (text: string): TlsFailed => new TlsFailed(text, { cause: error });
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return failed(`its certificate is not for ${host}: give Addr a name that is in it, or renew the certificate`);
  }
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID") {
    return failed(`its certificate ${code === "CERT_HAS_EXPIRED" ? "has expired" : "is not valid yet"}: renew it, or set the clock`);
  }
  if (UNTRUSTED.test(code)) {
    const held = tls.ca === undefined ? "any authority that this host trusts" : "the authority in TLSConfig.CAFile";
    return failed(`its certificate is not by ${held} (${error.message}): set CAFile to the authority's certificate`);
  }
  if (NO_TLS.test(`${code} ${error.message}`)) return failed("it does not speak TLS: write Addr as http://, without TLSConfig");
  if (/ALERT/.test(code)) return failed(refusedBy(code, tls));
  return code.startsWith("ERR_SSL_") || code === "EPROTO" ? failed(error.message) : null;
}

/** Of our certificate a server says what it thinks by an alert. */
function refusedBy(code: string, tls: PluginTls): string {
  const alert = code
    .replace(/^.*ALERT_/, "")
    .replaceAll("_", " ")
    .toLowerCase();
  if (!/certificate|unknown ca|handshake failure|access denied/.test(alert)) return `it ends the handshake: ${alert}`;
  return tls.cert === undefined
    ? `it asks for a certificate (${alert}): set TLSConfig.CertFile and TLSConfig.KeyFile`
    : `it refuses the certificate in TLSConfig.CertFile (${alert}): have it signed by an authority that the plugin trusts`;
}
