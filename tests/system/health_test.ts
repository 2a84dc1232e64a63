/** `health`: what a load balancer asks, before `hello` and without a token. */

import { assertEquals, assertMatch } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { TestServer } from "../kit/test_server.ts";

const TOKEN = "0123456789abcdef";
const HEALTHY = { ok: true, role: "alone", draining: false, version: "0.0.0-test" };

Deno.test("health is answered before hello, with tokens too, and hello can follow it", async () => {
  await using server = await TestServer.start({ workers: 1, tokens: [TOKEN] });
  using client = await server.connect();
  assertEquals(await client.ask({ cmd: "health" }), HEALTHY);
  assertEquals(await client.ask({ cmd: "health", ref: "b" }), { ...HEALTHY, ref: "b" });
  assertEquals((await client.ask({ cmd: "hello", token: TOKEN })).hello, "sd");
  assertEquals(await client.ask({ cmd: "health" }), HEALTHY);
  assertEquals((await client.ask({ op: "square", n: 7 })).status, "queued");
});

Deno.test("health opens no door: the next line still needs a token", async () => {
  await using server = await TestServer.start({ workers: 0, tokens: [TOKEN] });
  for (
    const line of [
      { cmd: "ping" },
      { cmd: "stats" },
      { op: "square", n: 2 },
      { cmd: "health", op: "square" },
      { cmd: "health", ref: {} },
      { cmd: "health", big: 2 ** 60 },
    ]
  ) {
    using client = await server.connect();
    assertEquals(await client.ask({ cmd: "health" }), HEALTHY);
    assertEquals((await client.ask(line)).error.code, "unauthorized");
    assertEquals(await client.line(), null);
  }
});

Deno.test("before hello, health is answered 64 times on a connection, and then a token is needed", async () => {
  await using server = await TestServer.start({ workers: 0, tokens: [TOKEN] });
  using client = await server.connect();
  await client.send('{"cmd":"health"}\n'.repeat(65));
  const lines = await client.rest();
  assertEquals(lines.length, 65);
  assertEquals(lines.filter((line) => line.includes('"ok":true')).length, 64);
  assertMatch(lines.at(-1)!, /"unauthorized"/);
});

Deno.test("a client that asks for health and nothing else is cut when the time for a first line is over", async () => {
  const limits = { helloMs: 200, sweepMs: 50 };
  await using server = await TestServer.start({ workers: 0, tokens: [TOKEN], limits });
  using client = await server.connect();
  assertEquals(await client.ask({ cmd: "health" }), HEALTHY);
  assertMatch((await client.object()).error.message, /no message came/);
  assertEquals(await client.line(), null);
});

Deno.test("checks do not count as clients, whether they close, reset or stay", async () => {
  await using server = await TestServer.start({ workers: 0 });
  using client = await server.connect();
  const connections = async () => (await client.ask({ cmd: "stats" })).connections;
  assertEquals(await connections(), 1);
  using staying = await server.connect();
  assertEquals(await staying.ask({ cmd: "health" }), HEALTHY);
  assertEquals(await connections(), 1);
  for (let i = 0; i < 50; i++) {
    using check = await server.connect();
    assertEquals(await check.ask({ cmd: "health" }), HEALTHY);
  }
  assertEquals(await connections(), 1);
  // It has become a client.
  assertEquals(await staying.ask({ cmd: "ping" }), { pong: true });
  assertEquals(await connections(), 2);
});

Deno.test("a check that ends its side after the line, as nc -N does, gets its answer and the end", async () => {
  await using server = await TestServer.start({ workers: 0, tokens: [TOKEN] });
  using client = await server.connect();
  await client.send('{"cmd":"health"}');
  await client.closeWrite();
  const lines = await client.rest();
  assertEquals(lines.map((line) => JSON.parse(line)), [HEALTHY]);
});

Deno.test("a server that stops says so at once, to strangers and to clients", async () => {
  await using server = await TestServer.start({ workers: 1 });
  using client = await server.connect();
  await client.ask({ op: "sleep", ms: 300, task: { id: "long" } });
  const stopping = server.stop(5000);
  const health = await client.ask({ cmd: "health" });
  assertEquals([health.ok, health.draining], [false, true]);
  await stopping;
});

Deno.test("the library asks for health", async () => {
  await using server = await TestServer.start({ workers: 0 });
  await using client = await connect(server.address);
  const { ok, role, draining } = await client.health();
  assertEquals([ok, role, draining], [true, "alone", false]);
});

Deno.test("a server without room for a connection still answers checks, and refuses the others", async () => {
  await using server = await TestServer.start({ workers: 0, limits: { maxConnections: 1 } });
  using client = await server.connect();
  await client.ask({ cmd: "ping" });
  for (let i = 0; i < 3; i++) {
    using check = await server.connect();
    assertEquals(await check.ask({ cmd: "health" }), HEALTHY);
    assertEquals(await check.line(), null);
    using other = await server.connect();
    assertEquals((await other.ask({ cmd: "ping" })).error.code, "queue_full");
    using silent = await server.connect();
    assertEquals((await silent.object()).error.code, "queue_full");
  }
});
