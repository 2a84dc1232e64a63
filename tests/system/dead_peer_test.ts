/** Peers that vanish behind a proxy that swallows everything: both sides notice it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ClientError, connect } from "../../client/mod.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

const LIMITS = { sweepMs: 50 };

Deno.test("a client behind a proxy that swallows everything connects again, and gets its results", async () => {
  await using server = await TestServer.start({ workers: 1, limits: LIMITS });
  await using proxy = new CuttingProxy(server.address);
  const losses: string[] = [];
  await using client = await connect(proxy.address, {
    pingMs: 100,
    onLost: (error) => losses.push(error.message),
  });
  await using stream = client.watch({ taskId: "after" });
  const { result } = await client.submit("sleep", { ms: 1000 }, { id: "long" });
  const waits = client.wait("long");
  proxy.swallow();
  assertEquals(await result, 1000);
  assertEquals((await waits).result, 1000);
  assert(losses.length >= 1);
  assert(losses[0]!.includes("nothing has come for"), losses[0]);
  // The watch is there again as well, and says that it may have missed something.
  assertEquals((await stream.next()).value?.event, "dropped");
  await client.submit("square", { n: 2 }, { id: "after" });
  assertEquals((await stream.next()).value?.event, "queued");
});

Deno.test("a client that does not reconnect gets an error when its server has vanished", async () => {
  await using server = await TestServer.start({ workers: 1, limits: LIMITS });
  await using proxy = new CuttingProxy(server.address);
  await using client = await connect(proxy.address, { pingMs: 100, reconnectMs: 0 });
  const { result } = await client.submit("sleep", { ms: 60_000 }, { id: "long" });
  proxy.swallow();
  const error = await assertRejects(() => result, ClientError, "nothing has come for");
  assertEquals(error.code, "unreachable");
  using other = await server.connect();
  await other.ask({ cmd: "cancel", task_id: "long" });
});

Deno.test("a server frees the connection of a client that missed its own pings, and of no other", async () => {
  await using server = await TestServer.start({ workers: 1, limits: LIMITS });
  using asker = await server.connect();
  const connections = async () => (await asker.ask({ cmd: "stats" })).connections as number;
  const before = await connections();
  // One that says how often it pings, and then does not; ones that do not say so, whether they pinged or not.
  using promised = await server.connect();
  using pinged = await server.connect();
  using silent = await server.connect();
  assertEquals(await promised.ask({ cmd: "ping", every: 200 }), { pong: true });
  assertEquals(await pinged.ask({ cmd: "ping" }), { pong: true });
  const nap = { op: "sleep", ms: 2500, task: { id: "nap" } };
  assertEquals((await silent.ask(nap)).status, "queued");
  assertEquals(await promised.line(), null);
  await until("the place is free again", async () => await connections() === before + 2);
  // A client that only waits for its result is never cut for that.
  assertEquals((await silent.object()).result, 2500);
  assertEquals(await pinged.ask({ cmd: "ping" }), { pong: true });
  for (const every of [0, -1, 99, 1.5, "200", 3_600_001, null]) {
    assertEquals((await pinged.ask({ cmd: "ping", every })).error.code, "bad_request");
  }
});

Deno.test("a client that pings stays connected through any silence, and so does one that slept", async () => {
  await using server = await TestServer.start({ workers: 1, limits: LIMITS });
  const losses: Error[] = [];
  await using client = await connect(server.address, {
    pingMs: 100,
    onLost: (error) => losses.push(error),
  });
  const { result } = await client.submit("sleep", { ms: 1500 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  // The process stands still for many times as long as the patience of either side.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 800);
  assertEquals(await result, 1500);
  assertEquals(losses, []);
});
