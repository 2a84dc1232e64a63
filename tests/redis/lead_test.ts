/** Who leads in Redis: one server at a time, the next one at once after a resignation or a death, and no write after it. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import type { Redis as RedisClient } from "ioredis";
import type { Lead } from "../../server/engine/journaled/shared_store.ts";
import { type Cell, StoreError, type Write } from "../../server/engine/journaled/task_store.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { OwnKeys, withRedis } from "../kit/services.ts";
import { until } from "../kit/until.ts";
import { leadOf, server } from "../contract/redis_stage.ts";

const LONG = Deno.env.get("SD_LONG") === "1";

/** A Redis of the machine with keys of the test's own, and a plain connection to it. */
class Stage implements AsyncDisposable {
  readonly keys = new OwnKeys();
  readonly url = `${this.keys.server}?name=${this.keys.name}`;
  private constructor(readonly redis: RedisClient) {}

  static async open(): Promise<Stage> {
    const { Redis } = await import("ioredis");
    return new Stage(new Redis(new OwnKeys().server));
  }

  async lead(field: string): Promise<string | null> {
    return await this.redis.hget(`{sd:${this.keys.name}}:lead`, field);
  }

  /** As if the lease had run out. */
  async expire(): Promise<void> {
    await this.redis.hset(`{sd:${this.keys.name}}:lead`, "until", "1");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.redis.quit();
    await this.keys[Symbol.asyncDispose]();
  }
}

function queued(ord: number): Write {
  const fixed: Cell[] = [ord, `id-${ord}`, 1, "square", "{}", null, null, 0, 1, null];
  const state: Cell[] = [0, ord, 0, 0, 0, 0, 0, null, null, null, null];
  return { inserts: [...fixed, ...state], updates: [], attachments: [], settings: [] };
}

async function end(lead: Lead): Promise<void> {
  await lead.store.close();
  await lead.resign();
}

Deno.test(
  withRedis(
    "of several servers one leads in Redis; after it resigns, another does, with a higher epoch",
  ),
  async () => {
    await using stage = await Stage.open();
    const stores = await Promise.all([1, 2, 3].map(() => openRedis(stage.url)));
    assertEquals(new Set(stores.map(({ secret }) => secret)).size, 1);
    let leading = 0;
    const epochs: number[] = [];
    await Promise.all(stores.map(async (shared) => {
      const lead = await leadOf(shared);
      leading++;
      assertEquals(leading, 1);
      epochs.push(lead.epoch);
      await delay(50);
      assert(await lead.renew());
      leading--;
      await end(lead);
      assertEquals(await lead.renew(), false);
    }));
    assertEquals(epochs, [1, 2, 3]);
    await Promise.all(stores.map((shared) => shared.close()));
  },
);

Deno.test(withRedis("a campaign in Redis ends with its signal"), async () => {
  await using stage = await Stage.open();
  const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
  const lead = await leadOf(one);
  const abort = new AbortController();
  const waiting = two.campaign(server(), { signal: abort.signal, waitMs: () => 0 });
  setTimeout(() => abort.abort(), 30);
  await assertRejects(() => waiting);
  assertEquals(await stage.lead("epoch"), "1");
  await end(lead);
  await one.close();
  await two.close();
});

Deno.test(
  withRedis("a candidate in Redis waits as much longer as it is asked to after the end of a lease"),
  async () => {
    await using stage = await Stage.open();
    const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
    const lead = await leadOf(one);
    await stage.redis.hset(`{sd:${stage.keys.name}}:lead`, "connection", "");
    await stage.expire();
    let waitMs = 1e15;
    const signal = AbortSignal.timeout(60_000);
    const waiting = two.campaign(server(), { signal, waitMs: () => waitMs });
    await delay(300);
    assertEquals(await stage.lead("epoch"), "1");
    waitMs = 0;
    const next = await waiting;
    assertEquals(next.epoch, 2);
    await end(lead);
    await end(next);
    await one.close();
    await two.close();
  },
);

Deno.test(
  withRedis("a server that was deposed in Redis neither reads nor writes, and learns why"),
  async () => {
    await using stage = await Stage.open();
    const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
    const old = await leadOf(one);
    await old.store.call("write", queued(1));
    await stage.expire();
    const next = await leadOf(two);
    assertEquals([next.epoch, next.opened.next > 1, next.opened.counts[0]], [2, true, 1]);
    const read = await assertRejects(() => old.store.call("find", { ids: ["id-1"] }), StoreError);
    assertEquals(read.fault, "fenced");
    assertEquals(await old.store.lost, "another server leads");
    const write = await assertRejects(() => old.store.call("write", queued(2)), StoreError);
    assertEquals(write.fault, "fenced");
    assertEquals(await old.renew(), false);
    // The end of the old lead does not end the new one.
    await end(old);
    assert(await next.renew());
    assertEquals(await next.store.call("find", { ids: ["id-2"] }), [null]);
    await end(next);
    await one.close();
    await two.close();
  },
);

Deno.test(
  withRedis(
    "of a write and a takeover in Redis at the same time, the next leader finds exactly the writes that were acknowledged",
  ),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    await using stage = await Stage.open();
    const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
    let ord = 0;
    const acknowledged: string[] = [];
    const refused: string[] = [];
    for (let round = 0; round < (LONG ? 1000 : 40); round++) {
      const old = await leadOf(round % 2 === 0 ? one : two);
      const writing = Array.from({ length: 20 }, async (_, i) => {
        const id = `id-${ord + 1 + i}`;
        await delay(random.int(0, 4));
        await old.store.call("write", queued(ord + 1 + i)).then(
          () => acknowledged.push(id),
          (error: StoreError) => {
            assertEquals(error.fault, "fenced");
            refused.push(id);
          },
        );
      });
      await delay(random.int(0, 4));
      await stage.expire();
      const next = await leadOf(round % 2 === 0 ? two : one);
      const found = await next.store.call("find", {
        ids: Array.from({ length: 20 }, (_, i) => `id-${ord + 1 + i}`),
      });
      await Promise.all(writing);
      ord += 20;
      const kept = found.flatMap((row) => row?.id ?? []).toSorted();
      const told = acknowledged.slice(-20).filter((id) => Number(id.slice(3)) > ord - 20)
        .toSorted();
      assertEquals(kept, told, `SD_SEED=${seed}`);
      await old.store.close();
      await end(next);
    }
    assert(acknowledged.length > 0 && refused.length > 0, "the race has both ends");
    await one.close();
    await two.close();
  },
);

Deno.test(
  withRedis("servers in Redis see each other and the leader, until they leave"),
  async () => {
    await using stage = await Stage.open();
    const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
    const [a, b] = [
      server({ name: "a\u0000\ud800" }),
      server({ name: "b", certificate: "c0ffee" }),
    ];
    assertEquals((await one.beat(a)).leader, undefined);
    const lead = await leadOf(one, a);
    const view = await two.beat(b);
    assertEquals(view.servers.toSorted((x, y) => x.name < y.name ? -1 : 1), [a, b]);
    assertEquals(view.leader, { id: a.id, address: a.address, epoch: 1 });
    assert(Math.abs(view.now - Date.now()) < 60_000);
    await two.leave(b);
    assertEquals((await one.beat(a)).servers, [a]);
    // A server that was killed is forgotten once its beat is old.
    await stage.redis.hset(`{sd:${stage.keys.name}}:members`, b.id, `1 ${JSON.stringify(b)}`);
    assertEquals((await one.beat(a)).servers, [a]);
    await stage.expire();
    assertEquals((await one.beat(a)).leader, undefined);
    await end(lead);
    await one.close();
    await two.close();
  },
);

Deno.test(
  withRedis("a killed leader is followed at once in Redis; one whose connection was cut goes on"),
  async () => {
    await using stage = await Stage.open();
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", new URL("leader.ts", import.meta.url).pathname, stage.url],
      stdout: "piped",
    }).spawn();
    const reader = child.stdout.getReader();
    await reader.read();
    const shared = await openRedis(stage.url);
    const abort = new AbortController();
    let next: Lead | undefined;
    const campaign = shared.campaign(server(), { signal: abort.signal, waitMs: () => 0 })
      .then((lead) => next = lead);
    await until("the leader renews by a connection", async () => await stage.lead("connection"));
    for (let cut = 0; cut < 3; cut++) {
      const id = await stage.lead("connection");
      await stage.redis.call("CLIENT", "KILL", "ID", id as string);
      await until("it has come back", async () => await stage.lead("connection") !== id);
      await delay(400);
      assertEquals(next, undefined, "its connection was cut");
    }
    child.kill("SIGKILL");
    const at = performance.now();
    await campaign;
    assert(next?.epoch === 2);
    const ms = Math.round(performance.now() - at);
    await child.status;
    await reader.cancel();
    // deno-lint-ignore no-console
    if (LONG) console.log(`the next leader came after ${ms} ms`);
    await end(next);
    await shared.close();
  },
);

Deno.test(withRedis("a jump of the clock of Redis leaves no lease that does not end"), async () => {
  await using stage = await Stage.open();
  const [one, two] = [await openRedis(stage.url), await openRedis(stage.url)];
  const lead = await leadOf(one);
  // As if the clock had gone back by an hour since.
  const key = `{sd:${stage.keys.name}}:lead`;
  await stage.redis.hset(key, "until", String(Date.now() + 3_600_000));
  const signal = AbortSignal.timeout(60_000);
  const campaign = two.campaign(server(), { signal, waitMs: () => 0 });
  await until(
    "the lease is cut",
    async () => Number(await stage.lead("until")) < Date.now() + 60_000,
  );
  assert(await lead.renew());
  await stage.redis.hset(key, "connection", "", "until", String(Date.now() + 3_600_000));
  const next = await campaign;
  assertEquals(next.epoch, 2);
  await end(lead);
  await end(next);
  await one.close();
  await two.close();
});
