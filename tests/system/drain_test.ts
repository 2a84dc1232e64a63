/** How a server stops behind a load balancer: it says so, serves on for a while, and lets each client go when it owes nothing. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { LogLink } from "../kit/fake_worker.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";

Deno.test("while it drains, a server says so and serves as before; then it takes no connection", async () => {
  await using server = await TestServer.start({ workers: 1 });
  const { address } = server;
  using before = await server.connect();
  await before.ask({ cmd: "ping" });
  const stopping = server.stop(5000, 1000);
  using check = await server.connect();
  const { ok, draining } = await check.ask({ cmd: "health" });
  assertEquals([ok, draining], [false, true]);
  using after = await server.connect();
  for (const client of [before, after]) {
    assertEquals((await client.ask({ op: "square", n: 3 })).status, "queued");
    assertEquals((await client.object()).result, 9);
  }
  assertEquals([await before.line(), await after.line()], [null, null]);
  await stopping;
  await assertRejects(() => Deno.connect(address), Deno.errors.ConnectionRefused);
});

Deno.test("a client goes when it has its replies, and its late submits were not taken", async () => {
  const server = await TestServer.start({ workers: 1 });
  using idle = await server.connect();
  using busy = await server.connect();
  using watching = await server.connect();
  await idle.ask({ cmd: "ping" });
  await busy.ask({ op: "sleep", ms: 1000, ref: 1, task: { id: "long" } });
  await watching.ask({ cmd: "watch", task_id: "long" });
  await until("it runs", async () => (await idle.ask({ cmd: "stats" })).tasks.running === 1);
  const stopping = server.stop(60_000);
  assertEquals(await idle.line(), null);
  await busy.sendObjects({ op: "square", n: 2, ref: 2 });
  const { code, retry_after_ms } = (await busy.object()).error;
  assertEquals([code, retry_after_ms], ["shutting_down", 0]);
  assertEquals((await busy.object()).status, "completed");
  assertEquals(await busy.line(), null);
  const events = (await watching.rest()).map((line) => JSON.parse(line).event);
  assert(events.includes("completed"), "who watches sees the end of what still runs");
  await stopping;
});

Deno.test("a worker process keeps its link while its server drains", async () => {
  const server = await TestServer.start({ workers: 0 });
  using worker = await LogLink.join(server, { op: "square" });
  using client = await server.connect();
  await client.ask({ op: "square", n: 2, task: { id: "a" } });
  const lease = await worker.nextLease("a");
  const stopping = server.stop(60_000);
  await client.ask({ cmd: "ping" });
  await worker.end(lease, { result: 4 });
  assertEquals((await client.object()).result, 4);
  await stopping;
});
