/**
 * Tasks of 50 clients through HAProxy and through nginx: each result once, at its own client, while servers and balancers are
 * stopped, killed, drained, restarted and reloaded under them.
 */

import { assert, assertEquals } from "@std/assert";
import { connect } from "../../client/mod.ts";
import { Certificate, HAS_OPENSSL } from "../kit/certificate.ts";
import { needing } from "../kit/needs.ts";
import { freePort } from "../kit/private_service.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";
import { TestServer } from "../kit/test_server.ts";
import { until } from "../kit/until.ts";
import { Balancer, HAS_BALANCERS, KINDS } from "./balancer.ts";
import { Load, TASKS } from "./load.ts";

const withBalancers = needing("HAProxy, nginx and openssl", HAS_BALANCERS && HAS_OPENSSL);
const TOKEN = "0123456789abcdef";
/** Of each fault. */
const TIMES = Deno.env.get("SD_LONG") === "1" ? 20 : 5;

/** Causes `fault` again and again while the load goes on; resolves with the number of tasks. */
async function underFaults(load: Load, times: number, fault: (i: number) => Promise<void>) {
  for (let i = 1; i <= times; i++) {
    await load.more(100);
    await fault(i);
  }
  await load.more(100);
  return await load.finish();
}

/** By the totals of a server that was not restarted. */
async function assertAllDone(
  address: { hostname: string; port: number },
  count: number,
): Promise<void> {
  await using client = await connect(address);
  const { tasks, totals } = await client.stats();
  assertEquals([totals.finished, tasks.queued, tasks.failed], [count, 0, 0]);
}

for (const kind of KINDS) {
  Deno.test(withBalancers(`${kind}: each result comes once, to its own client`), async () => {
    await using server = await TestServer.start();
    await using balancer = await Balancer.start(kind, { servers: [server.address.port] });
    const load = new Load(balancer.address, "plain");
    const count = await load.finish();
    assertEquals([load.losses, count], [0, TASKS]);
    await assertAllDone(server.address, count);
  });

  Deno.test(withBalancers(`${kind}: PROXY headers, with TLS and tokens behind it`), async () => {
    using certificate = await Certificate.make("localhost");
    const { cert, key } = certificate;
    await using server = await TestServer.start({
      tls: { cert, key },
      tokens: [TOKEN],
      proxyFrom: "127.0.0.1",
    });
    await using balancer = await Balancer.start(kind, {
      servers: [server.address.port],
      proxy: true,
      tls: true,
    });
    const address = {
      hostname: "localhost",
      port: balancer.port,
      token: TOKEN,
      tls: { caCerts: [cert] },
    };
    const load = new Load(address, "tls");
    const count = await load.finish();
    assertEquals([load.losses, count], [0, TASKS]);
    await using client = await connect(address);
    assertEquals((await client.stats()).tasks.completed, TASKS);
    assertEquals(server.lines.filter((line) => line.includes("PROXY")), []);
  });

  Deno.test(withBalancers(`${kind}: PROXY headers without TLS`), async () => {
    await using server = await TestServer.start({ proxyFrom: "127.0.0.1" });
    await using balancer = await Balancer.start(kind, {
      servers: [server.address.port],
      proxy: true,
    });
    await new Load(balancer.address, "proxy").finish();
    assertEquals(server.lines.filter((line) => line.includes("PROXY")), []);
  });

  Deno.test(
    withBalancers(`${kind}: the balancer is restarted and reloaded under load`),
    async () => {
      await using server = await TestServer.start();
      await using balancer = await Balancer.start(kind, { servers: [server.address.port] });
      const load = new Load(balancer.address, "balancer");
      const fault = (i: number) => i % 2 ? balancer.restart() : balancer.reload();
      const count = await underFaults(load, 2 * TIMES, fault);
      assert(load.losses > 0);
      await assertAllDone(server.address, count);
    },
  );

  Deno.test(
    withBalancers(`${kind}: the server behind it is killed and stopped under load`),
    async () => {
      const port = freePort();
      const data = await Deno.makeTempDir({ prefix: "sd-balancers-" });
      const start = () =>
        SdServe.start(["--workers", "2", "--drain-delay", "300ms"], {
          port,
          env: { SD_DATA: data },
        });
      let server = await start();
      try {
        await using balancer = await Balancer.start(kind, { servers: [port] });
        const load = new Load(balancer.address, "server");
        const count = await underFaults(load, 2 * TIMES, async (i) => {
          const code = await server.stop(i % 2 ? "SIGKILL" : "SIGTERM");
          assertEquals(code, i % 2 ? 137 : 0);
          server = await start();
        });
        assert(load.losses > 0);
        await using client = await connect(server.address);
        const { tasks } = await client.stats();
        assertEquals([tasks.completed, tasks.queued, tasks.failed], [count, 0, 0]);
      } finally {
        await server.stop();
        await Deno.remove(data, { recursive: true });
      }
    },
  );

  Deno.test(
    withBalancers(`${kind}: a client that only waits is not cut, since it pings`),
    async () => {
      await using server = await TestServer.start();
      const servers = [server.address.port];
      await using balancer = await Balancer.start(kind, { servers, idleMs: 2000 });
      const losses: Error[] = [];
      await using client = await connect(balancer.address, {
        pingMs: 600,
        onLost: (error) => void losses.push(error),
      });
      using silent = await RawClient.connect(balancer.address);
      await silent.ask({ cmd: "watch" });
      const events = client.watch({ op: "sleep" });
      const result = client.run("sleep", { ms: 4500 }, { id: "long" });
      const seen: string[] = [];
      for await (const { event } of events) {
        seen.push(event);
        if (event === "completed") break;
      }
      assertEquals(await result, 4500);
      assertEquals([losses.length, seen.includes("dropped")], [0, false]);
      // The balancer does cut a client without pings.
      assertEquals((await silent.rest()).some((line) => line.includes('"completed"')), false);
    },
  );
}

Deno.test(
  withBalancers("haproxy: a server that drains gets no new client, and keeps those that it has"),
  async () => {
    const first = await TestServer.start({ workers: 1 });
    await using second = await TestServer.start({ workers: 1 });
    const servers = [first.address.port, second.address.port];
    await using balancer = await Balancer.start("haproxy", { servers });
    const pidOf = async () => {
      using client = await RawClient.connect(balancer.address);
      return (await client.ask({ cmd: "stats" })).totals.submitted;
    };
    // All clients of the two servers are told apart by a count that only the second has.
    using direct = await second.connect();
    await direct.ask({ op: "square", n: 1, task: { wait: false } });
    await until("both servers get clients", async () => await pidOf() === 0 && await pidOf() === 1);
    const stopping = first.stop(10_000, 3000);
    await until("new clients go to the second", async () => {
      const counts = await Promise.all([pidOf(), pidOf(), pidOf(), pidOf()]);
      return counts.every((count) => count === 1);
    });
    await stopping;
  },
);
