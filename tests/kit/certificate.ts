/** Certificates for tests of TLS, made by `openssl`. */

import { shell } from "./sd_process.ts";

export const HAS_OPENSSL = (await shell("command -v openssl")) !== "";

/** A self-signed certificate for `name`, in files of a folder of its own. */
export class Certificate implements Disposable {
  readonly folder = Deno.makeTempDirSync();
  readonly certFile = `${this.folder}/cert.pem`;
  readonly keyFile = `${this.folder}/key.pem`;

  static async make(name: string): Promise<Certificate> {
    const made = new Certificate();
    await shell(
      "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 " +
        `-subj /CN=${name} -addext subjectAltName=DNS:${name} ` +
        "-addext basicConstraints=critical,CA:FALSE " +
        `-keyout ${made.keyFile} -out ${made.certFile}`,
    );
    return made;
  }

  get cert(): string {
    return Deno.readTextFileSync(this.certFile);
  }

  get key(): string {
    return Deno.readTextFileSync(this.keyFile);
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}
