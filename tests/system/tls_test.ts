/** TLS, with certificates made by `openssl` for the test: on the port, in the clients, for workers. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ClientError, connect } from "../../client/mod.ts";
import { runSd, SdServe, shell } from "../sd_process.ts";
import { TestServer } from "../test_server.ts";

const HAS_OPENSSL = (await shell("command -v openssl")) !== "";
const IN_CI = Deno.env.get("CI") === "true";
const skip = !HAS_OPENSSL && !IN_CI;
const nameOf = (claim: string) => skip ? `${claim}: skipped, there is no openssl` : claim;

/** A self-signed certificate for `name`, in files of a folder of its own. */
class Certificate implements Disposable {
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

Deno.test({
  name: nameOf("tasks go over TLS, for a client that trusts the certificate and for no other"),
  ignore: skip,
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await TestServer.start({ workers: 1, tls: { cert, key } });
    const { port } = server.address;
    await using client = await connect({ hostname: "localhost", port, tls: { caCerts: [cert] } });
    const tasks = await Promise.all(
      Array.from({ length: 200 }, (_, n) => client.submit("square", { n })),
    );
    assertEquals(
      await Promise.all(tasks.map((task) => task.result)),
      tasks.map((_, n) => n * n),
    );
    const target = { hostname: "localhost", port };
    const stranger = () => connect({ ...target, tls: { caCerts: [] } });
    assertEquals((await assertRejects(stranger, ClientError)).code, "unreachable");
    // Who speaks plainly to a TLS port is not answered.
    await using plain = await connect(target);
    await assertRejects(() => plain.ping(), ClientError);
  },
});

Deno.test({
  name: nameOf("a server's own workers and sd work need not know what name its certificate is for"),
  ignore: skip,
  async fn() {
    using certificate = await Certificate.make("sd.example");
    const { certFile, keyFile } = certificate;
    await using server = await SdServe.start(
      ["--workers", "1", "--tls-cert", certFile, "--tls-key", keyFile],
    );
    const env = { SD_SERVER: server.server };
    const wrongName = await runSd(["submit", "x", "--tls-ca", certFile], env);
    assertEquals(wrongName.code, 3);
    assertStringIncludes(wrongName.stderr, "cannot reach");
    assertEquals(server.lines[1], "[server] 1 worker started");
  },
});

Deno.test({
  name: nameOf(
    "commands speak TLS with --tls-ca, and sd serve says what is wrong with a certificate",
  ),
  ignore: skip,
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { certFile, keyFile } = certificate;
    await using server = await SdServe.start(
      ["--workers", "1", "--tls-cert", certFile, "--tls-key", keyFile],
    );
    const env = { SD_SERVER: `localhost:${server.address.port}` };
    const submit = ["submit", '{"op":"square","n":7}'];
    assertEquals((await runSd([...submit, "--tls-ca", certFile], env)).stdout, "49\n");
    assertEquals((await runSd(submit, { ...env, SD_TLS_CA: certFile })).stdout, "49\n");
    assertEquals((await runSd(submit, env)).code, 3);
    const bench = ["bench", "--count", "500", "--tls-ca", certFile];
    assertEquals((await runSd(bench, env)).code, 0);
    const half = await runSd(["serve", "--port", "0", "--tls-cert", certFile]);
    assertEquals(half.code, 2);
    assertStringIncludes(half.stderr, "--tls-key");
    const bad = await runSd(["serve", "--port", "0", "--tls-cert", keyFile, "--tls-key", keyFile]);
    assertEquals(bad.code, 2);
    assert(bad.stderr.length > 0);
  },
});
