/** TLS, with certificates made by `openssl` for the test: on the port, in the clients, for workers. */

import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ClientError, connect } from "../../client/mod.ts";
import { dialDeno } from "../../net/deno_dial.ts";
import { selfCommand } from "../../cli/pool/self_command.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { needing } from "../kit/needs.ts";
import { runSd, SdServe } from "../kit/sd_process.ts";
import { SdWork } from "../kit/sd_work.ts";
import { TestServer } from "../kit/test_server.ts";

const withOpenssl = needing("openssl", HAS_OPENSSL);

Deno.test({
  ...withOpenssl("tasks go over TLS, for a client that trusts the certificate and for no other"),
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
    await using work = new SdWork(`localhost:${port}`, ["--workers", "1"]);
    await work.says("if it speaks TLS, use --tls");
    const stranger = () => connect({ ...target, tls: { caCerts: [] } });
    assertEquals((await assertRejects(stranger, ClientError)).code, "unreachable");
    // A client without TLS gets no answer from a TLS port.
    await using plain = await connect(target);
    await assertRejects(() => plain.ping(), ClientError);
  },
});

Deno.test({
  ...withOpenssl("a server's own workers need not know the name in its certificate"),
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
  ...withOpenssl(
    "commands use TLS with --tls-ca, and sd serve reports the fault of a certificate",
  ),
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
    assertStringIncludes(bad.stderr, `${keyFile} (--tls-cert) holds no certificate`);
    using other = await Certificate.make("localhost");
    const keys = ["--tls-cert", certFile, "--tls-key", other.keyFile];
    const strangers = await runSd(["serve", "--port", "0", "--engine", "memory:", ...keys]);
    assertEquals(strangers.code, 2);
    assertStringIncludes(strangers.stderr, "cannot listen");
  },
});

Deno.test({
  ...withOpenssl("each mismatch between a client and a TLS server is reported with the cure"),
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key, certFile } = certificate;
    await using secured = await TestServer.start({ workers: 1, tls: { cert, key } });
    await using plain = await TestServer.start({ workers: 1 });
    const at = ({ address }: TestServer, host = "localhost") => `${host}:${address.port}`;
    const cases: [string, string[], string][] = [
      [at(secured), [], "speaks TLS"],
      [at(secured), ["--tls"], "--tls-ca FILE"],
      [at(secured, "127.0.0.1"), ["--tls-ca", certFile], "a name that its certificate is for"],
      [at(plain, "127.0.0.1"), ["--tls"], "leave out --tls"],
    ];
    for (const [server, flags, message] of cases) {
      const { code, stderr } = await runSd(["status", "--server", server, ...flags]);
      assertEquals(code, 3, stderr);
      assertStringIncludes(stderr, message);
    }
  },
});

Deno.test({
  ...withOpenssl(
    "a client acknowledges TLS data at once, so that no small line waits",
  ),
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    using listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, cert, key });
    const { port } = listener.addr;
    const [server, wire] = await Promise.all([
      listener.accept(),
      dialDeno({ hostname: "localhost", port, tls: { caCerts: [cert] } }),
    ]);
    using _server = server;
    const buffer = new Uint8Array(10);
    for (const line of ["one\n", "two\n"]) {
      await server.write(new TextEncoder().encode(line));
      assertEquals(await wire.read(buffer), 4);
      assertEquals([await server.read(buffer), buffer[0]], [1, 10]);
    }
    wire.close();
  },
});

Deno.test({
  ...withOpenssl("sd work connects over TLS"),
  async fn() {
    using certificate = await Certificate.make("localhost");
    const { cert, key, certFile, folder } = certificate;
    await using server = await TestServer.start({ workers: 0, tls: { cert, key } });
    Deno.writeTextFileSync(`${folder}/pool.secret`, server.secret);
    const { port } = server.address;
    const { path, args } = selfCommand([
      ...["work", "--workers", "1", "--server", `localhost:${port}`],
      ...["--tls-ca", certFile, "--secret-file", `${folder}/pool.secret`],
    ]);
    const work = new Deno.Command(path, { args, stderr: "null", stdout: "null" }).spawn();
    try {
      await using client = await connect({ hostname: "localhost", port, tls: { caCerts: [cert] } });
      for (const end = Date.now() + 20_000; (await client.ops()).length === 0;) {
        assert(Date.now() < end, "the worker has come");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assertEquals(await (await client.submit("square", { n: 9 })).result, 81);
    } finally {
      work.kill("SIGTERM");
      await work.status;
    }
  },
});
