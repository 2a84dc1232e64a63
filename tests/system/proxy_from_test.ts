/** `--proxy-from`: a server behind a load balancer knows the address of each client, with and without TLS. */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { needing } from "../kit/needs.ts";
import { v1Header, v2Header, v2Tcp4 } from "../kit/proxy_headers.ts";
import { RawClient } from "../kit/raw_client.ts";
import { TestServer, type TestServerOptions } from "../kit/test_server.ts";

const TOKEN = "0123456789abcdef";
const withOpenssl = needing("openssl", HAS_OPENSSL);

function behindProxy(options: TestServerOptions = {}): Promise<TestServer> {
  return TestServer.start({ workers: 1, proxyFrom: "127.0.0.0/8", ...options });
}

Deno.test("a client is served after a header of either version, in one piece or byte by byte", async () => {
  await using server = await behindProxy();
  const local = v2Header({ command: 0x20, family: 0 });
  for (const header of [v1Header("10.1.2.3"), v2Tcp4([10, 1, 2, 3]), local]) {
    using whole = await server.connect();
    await whole.send(new Uint8Array([...header, ...new TextEncoder().encode('{"cmd":"ping"}\n')]));
    assertEquals(await whole.object(), { pong: true });
    using slow = await server.connect();
    for (const byte of header) await slow.send(new Uint8Array([byte]));
    assertEquals((await slow.ask({ op: "square", n: 5 })).status, "queued");
    assertEquals((await slow.object()).result, 25);
  }
});

Deno.test("a connection from a load balancer without a header is refused, and the log says why", async () => {
  await using server = await behindProxy();
  for (let i = 0; i < 3; i++) {
    using client = await server.connect();
    await client.sendObjects({ cmd: "ping" });
    assertEquals(await client.line(), null);
  }
  const told = server.lines.filter((line) => line.includes("PROXY header"));
  assertEquals(told.length, 1);
  assertMatch(told[0]!, /127\.0\.0\.1 \(--proxy-from\).*begins with "\{.*send-proxy-v2/);
});

Deno.test("a header from any other address is a bad line", async () => {
  await using server = await TestServer.start({ workers: 0, proxyFrom: "10.0.0.0/8" });
  for (const header of [v1Header("10.1.2.3"), v2Tcp4([10, 1, 2, 3])]) {
    using client = await server.connect();
    await client.send(header);
    assertEquals((await client.object()).error.code, "bad_json");
    assertEquals((await client.rest()).length, 0);
  }
  using client = await server.connect();
  assertEquals(await client.ask({ cmd: "ping" }), { pong: true });
});

Deno.test("a connection whose header does not come in time is cut, and gives its place back", async () => {
  const limits = { handshakeMs: 200, sweepMs: 50, maxConnections: 1 };
  await using server = await behindProxy({ limits });
  using slow = await server.connect();
  await slow.send(v2Tcp4([1, 2, 3, 4]).subarray(0, 20));
  assertEquals(await slow.line(), null);
  using next = await server.connect();
  await next.send(v2Tcp4([1, 2, 3, 4]));
  assertEquals(await next.ask({ cmd: "ping" }), { pong: true });
});

Deno.test("a server stops while a header is on its way", async () => {
  const server = await behindProxy();
  using slow = await server.connect();
  await slow.send("PROXY TCP4 ");
  using other = await server.connect();
  await other.send(v1Header("10.0.0.1"));
  await other.ask({ cmd: "ping" });
  await server.stop();
  assertEquals(await slow.line(), null);
});

Deno.test("wrong tokens are counted for the client, not for the load balancer", async () => {
  const limits = { wrongGuessMs: 2000 };
  await using server = await behindProxy({ tokens: [TOKEN], limits });
  const guess = async (source: [number, number, number, number]) => {
    const client = await server.connect();
    await client.send(v2Tcp4(source));
    await client.sendObjects({ cmd: "hello", token: "wrong-wrong-wrong" });
    return client;
  };
  const many = await Promise.all(Array.from({ length: 17 }, () => guess([10, 0, 0, 1])));
  using other = await guess([10, 0, 0, 2]);
  // 16 answers wait for one address; the next guess from there is cut without one.
  const answers = await Promise.all(many.map((client) => client.line()));
  assertEquals(answers.filter((line) => line === null).length, 1);
  assertEquals((await other.object()).error.code, "unauthorized");
  for (const client of many) client[Symbol.dispose]();
});

Deno.test("the server's own workers need no header, and the limit of connections holds for clients", async () => {
  await using server = await behindProxy({ limits: { maxConnections: 1 } });
  using client = await server.connect();
  await client.send(v1Header("10.0.0.1"));
  assertEquals((await client.ask({ op: "square", n: 2 })).status, "queued");
  assertEquals((await client.object()).result, 4);
  using check = await server.connect();
  await check.send(v2Header({ command: 0x20, family: 0 }));
  assertEquals((await check.ask({ cmd: "health" })).ok, true);
  using refused = await server.connect();
  await refused.send(v1Header("10.0.0.2"));
  assertEquals((await refused.object()).error.code, "queue_full");
});

Deno.test(
  withOpenssl("the header comes before the TLS handshake, in the same packet or long before"),
  async () => {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await behindProxy({ tls: { cert, key }, tokens: [TOKEN] });
    for (const chop of [false, true]) {
      using front = headerFront(server.address, v2Tcp4([10, 9, 8, 7]), chop);
      await using client = await connect({
        hostname: "localhost",
        port: front.port,
        token: TOKEN,
        tls: { caCerts: [cert] },
      }, { reconnectMs: 0 });
      assertEquals(await client.run("square", { n: 12 }), 144);
      const data = "x".repeat(300_000);
      assert(await client.run("echo", { data }) === data);
    }
    using plain = await RawClient.connect(server.address);
    await plain.send(v1Header("10.0.0.1"));
    await plain.sendObjects({ cmd: "ping" });
    assert((await plain.rest()).every((line) => !line.includes("pong")));
  },
);

/** A port that writes `header` before the bytes of each client: with the first of them, or byte by byte before. */
function headerFront(to: { hostname: string; port: number }, header: Uint8Array, chop: boolean) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  const pump = async (from: Deno.TcpConn, into: Deno.TcpConn, first: Uint8Array) => {
    const buffer = new Uint8Array(65_536);
    try {
      for (let count; (count = await from.read(buffer)) !== null;) {
        const bytes = new Uint8Array([...first, ...buffer.subarray(0, count)]);
        first = new Uint8Array(0);
        for (let at = 0; at < bytes.length;) at += await into.write(bytes.subarray(at));
      }
      await into.closeWrite();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
    }
  };
  void (async () => {
    for await (const client of listener) {
      const server = await Deno.connect(to);
      open.add(client).add(server);
      if (chop) { for (const byte of header) await server.write(new Uint8Array([byte])); }
      void pump(client, server, chop ? new Uint8Array(0) : header);
      void pump(server, client, new Uint8Array(0));
    }
  })();
  return {
    port: listener.addr.port,
    [Symbol.dispose]() {
      listener.close();
      for (const conn of open) {
        try {
          conn.close();
        } catch (error) {
          if (!(error instanceof Deno.errors.BadResource)) throw error;
        }
      }
    },
  };
}
