/** Redis as users run it beside one plain server: as a cluster, with replicas that must confirm, and with many tasks. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { ClientError } from "../../net/client_error.ts";
import type { Lead } from "../../server/engine/journaled/shared_store.ts";
import type { Cell, Write } from "../../server/engine/journaled/task_store.ts";
import { RedisConnection } from "../../server/engine/redis/connection.ts";
import { dialMaster, prefixOf } from "../../server/engine/redis/master.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";
import { RedisStore } from "../../server/engine/redis/store.ts";
import { parseRedisUrl } from "../../server/engine/redis/url.ts";
import { freePort, type PrivateService, runToEnd } from "../kit/private_service.ts";
import { OwnKeys, OwnRedis, withOwnRedis, withRedis } from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { NOW } from "../contract/contract_steps.ts";
import { leadOf, server } from "../contract/redis_stage.ts";

async function ask({ port }: PrivateService, ...command: string[]): Promise<string> {
  return await runToEnd(["redis-cli", "-p", String(port), ...command]);
}

/** Rows of tasks in this status, each in a lane of its own of `lanes`. */
function rows(first: number, count: number, status = 0, lanes = 1): Write {
  const inserts: Cell[] = [];
  for (let ord = first; ord < first + count; ord++) {
    const key = lanes === 1 ? null : `k${ord % lanes}`;
    inserts.push(ord, `id-${ord}`, 0, "square", "{}", null, key, 0, 1, null);
    inserts.push(status, ord, 0, 0, 0, 0, NOW, null, null, null, null);
  }
  return { inserts, updates: [], attachments: [], settings: [] };
}

async function end(lead: Lead): Promise<void> {
  await lead.store.close();
  await lead.resign();
}

Deno.test(
  withOwnRedis(
    "in a cluster of Redis all tasks are on the node of one slot, whichever node the URL names",
  ),
  async () => {
    const [first, second] = [freePort(), freePort()];
    const node = (port: number) => ({
      settings: { "cluster-enabled": "yes", "cluster-port": String(port) },
    });
    await using one = await OwnRedis.start(node(first));
    await using two = await OwnRedis.start(node(second));
    await ask(one, "CLUSTER", "ADDSLOTSRANGE", "0", "8000");
    await ask(two, "CLUSTER", "ADDSLOTSRANGE", "8001", "16383");
    await ask(one, "CLUSTER", "MEET", "127.0.0.1", String(two.port), String(second));
    for (const member of [one, two]) {
      await until(
        "the cluster is there",
        async () => (await ask(member, "CLUSTER", "INFO")).includes("cluster_state:ok"),
      );
    }
    for (const url of [`${one.url}?name=a`, `${two.url}?name=a`]) {
      const shared = await openRedis(url);
      const lead = await leadOf(shared);
      await lead.store.call("write", rows(lead.opened.next, 600));
      await end(lead);
      await shared.close();
    }
    const shared = await openRedis(`redis://127.0.0.1:1,127.0.0.1:${one.port}?name=a`);
    const lead = await leadOf(shared);
    assertEquals(lead.opened.counts[0], 1200);
    await end(lead);
    await shared.close();
  },
);

Deno.test(
  withOwnRedis(
    "a commit that replicas must confirm is answered once they have, also over a lost connection",
  ),
  async () => {
    await using redis = await OwnRedis.start();
    const shared = await openRedis(redis.url);
    const lead = await leadOf(shared);
    const token = await ask(redis, "HGET", "{sd:sd}:lead", "token");
    const address = parseRedisUrl(redis.url);
    const dial = () => dialMaster(address, { name: "test", scripts: true });
    const reports: string[] = [];
    const master = await dial();
    const store = new RedisStore({
      prefix: prefixOf(address),
      token: token.trim(),
      master,
      dial,
      counts: lead.opened.counts,
      next: 1,
      outbox: 0,
      kinds: 0,
      // As `WAITAOF`, which this Redis can lack.
      confirm: { command: ["WAIT", 1], isEnough: (answer) => Number(answer) >= 1 },
      report: (text) => void reports.push(text),
    });
    let isAnswered = false;
    const writing = store.call("write", rows(1, 1)).then(() => isAnswered = true);
    await delay(300);
    master.connection.destroy("cut by the test");
    await delay(1300);
    assertEquals(isAnswered, false);
    await using _replica = await redis.replica();
    await writing;
    assertEquals((await lead.store.call("find", { ids: ["id-1"] })).length, 1);
    await store.close();
    await end(lead);
    await shared.close();
  },
);

Deno.test(
  withRedis(
    "a sweep of Redis drops the oldest records beyond their number, and none that is held or open",
  ),
  async () => {
    await using keys = new OwnKeys();
    const shared = await openRedis(`${keys.server}?name=${keys.name}`, { maxKept: 100 });
    const lead = await leadOf(shared);
    await lead.store.call("write", rows(1, 3, 0));
    for (let first = 4; first < 9004; first += 1500) {
      await lead.store.call("write", rows(first, 1500, 3));
    }
    const held = { version: 1, ords: () => [5, 4000] };
    let dropped = 0;
    for (let more = true; more;) {
      const swept = await lead.sweeper.sweep(NOW, held);
      dropped += swept.removed[3] ?? 0;
      more = swept.more;
    }
    assertEquals(dropped, 8900);
    const found: string[] = [];
    for (let ord: number | null = 0; ord !== null;) {
      const page: { tasks: { id: string }[]; next: number | null } = await lead.store.call("list", {
        ord,
        oldestFirst: true,
        statuses: [],
        op: null,
        key: null,
        createdSince: 0,
        limit: 1000,
        maxChars: 1e6,
      });
      found.push(...page.tasks.map(({ id }) => id));
      ord = page.next;
    }
    const newest = Array.from({ length: 98 }, (_, i) => 8906 + i);
    assertEquals(found, [1, 2, 3, 5, 4000, ...newest].map((ord) => `id-${ord}`));
    await end(lead);
    await shared.close();
  },
);

Deno.test(
  withRedis(
    "a Redis with many tasks in 10,000 lanes is opened by one script, without a walk over its tasks",
  ),
  async () => {
    const count = Deno.env.get("SD_LONG") === "1" ? 1_000_000 : 20_000;
    await using keys = new OwnKeys();
    const shared = await openRedis(`${keys.server}?name=${keys.name}`);
    const lead = await leadOf(shared);
    for (let first = 1; first <= count; first += 10_000) {
      await lead.store.call("write", rows(first, 10_000, 0, 10_000));
    }
    await end(lead);
    const at = performance.now();
    const next = await leadOf(shared);
    const ms = Math.round(performance.now() - at);
    assertEquals([next.opened.counts[0], next.opened.lanes.length], [count, 10_000]);
    assertEquals(next.opened.queuedOps, [["square", count]]);
    const before = performance.now();
    const ahead = await next.store.call("ahead", { priority: 0, seq: count, limit: 1e9 });
    assertEquals(ahead, count - 1);
    // deno-lint-ignore no-console
    console.log(
      `${count} tasks: opened in ${ms} ms, counted in ${performance.now() - before | 0} ms`,
    );
    await end(next);
    await shared.close();
  },
);

Deno.test(
  withOwnRedis("a connection that nothing answers on is given to its end, also while it is idle"),
  async () => {
    await using redis = await OwnRedis.start();
    const address = parseRedisUrl(redis.url);
    const connection = await RedisConnection.dial(address.hosts[0]!, address, {
      name: "test",
      answerMs: 300,
    });
    await redis.kill("SIGSTOP");
    assert((await connection.closed).includes("has not answered"));
    await redis.kill("SIGCONT");
  },
);

Deno.test(
  withOwnRedis("scripts that an operator has flushed are loaded again, and nothing is lost"),
  async () => {
    await using redis = await OwnRedis.start();
    const shared = await openRedis(redis.url);
    const lead = await leadOf(shared);
    for (let round = 0; round < 5; round++) {
      await ask(redis, "SCRIPT", "FLUSH");
      const writing = lead.store.call("write", rows(1 + round * 1000, 1000));
      const reading = lead.store.call("ahead", { priority: 0, seq: 1e9, limit: 1e9 });
      await writing;
      assertEquals(await reading, (round + 1) * 1000);
      await ask(redis, "SCRIPT", "FLUSH");
      assert(await lead.renew().catch(() => lead.renew()));
      await shared.beat(server()).catch(() => shared.beat(server()));
    }
    await end(lead);
    await shared.close();
  },
);

Deno.test("a port that is not of Redis is refused as unreachable, also one that says nothing", async () => {
  for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", "", undefined]) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const connections: Deno.Conn[] = [];
    const accepting = (async () => {
      for await (const connection of listener) {
        connections.push(connection);
        if (answer === undefined) continue;
        await connection.write(new TextEncoder().encode(answer)).catch(() => {});
        if (answer === "") connection.close();
      }
    })();
    const { port } = listener.addr;
    const error = await assertRejects(
      () => openRedis(`redis://127.0.0.1:${port}`, { patienceMs: 0 }),
      ClientError,
    );
    assertEquals(error.code, "unreachable", error.message);
    listener.close();
    await accepting;
    for (const connection of connections) {
      try {
        connection.close();
      } catch {
        // The other side has closed it.
      }
    }
  }
});

Deno.test(withOwnRedis("a server that starts before its Redis waits for it"), async () => {
  const redis = await OwnRedis.start();
  await redis.stop();
  const opening = openRedis(redis.url);
  // Several attempts are refused meanwhile.
  await delay(600);
  await redis.restart();
  await using _redis = redis;
  const shared = await opening;
  await shared.close();
});
