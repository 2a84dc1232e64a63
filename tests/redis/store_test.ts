/** The store of the redis engine, beside the sqlite store, and on connections that break. */

import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { delay } from "@std/async/delay";
import { type Cell, StoreError, type Write } from "../../server/engine/journaled/task_store.ts";
import { openRedis } from "../../server/engine/redis/open_redis.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { CuttingProxy } from "../kit/cutting_proxy.ts";
import { OwnKeys, withRedis } from "../kit/services.ts";
import { leadOf } from "../contract/redis_stage.ts";
import { sameOpened, StoreWalk } from "./store_walk.ts";

/** The parser of ioredis keeps a timer for ten seconds after a large answer. */
const withLeft = (claim: string) => ({
  ...withRedis(claim),
  sanitizeOps: false,
  sanitizeResources: false,
});
const LONG = Deno.env.get("SD_LONG") === "1";

function urlOf(keys: OwnKeys): string {
  return `${keys.server}?name=${keys.name}`;
}

/** Rows of queued tasks with these numbers. */
function queued(ords: readonly number[], text = "{}"): Write {
  const inserts = ords.flatMap((ord): Cell[] => {
    const fixed = [ord, `id-${ord}`, 1, "square", text, null, null, 0, 1, null];
    return [...fixed, 0, ord, 0, 0, 0, 0, 0, null, null, null, null];
  });
  return { inserts, updates: [], attachments: [], settings: [] };
}

function done(ord: number, before = 0): Cell[] {
  return [ord, before, 3, ord, 0, 1, 0, 5, 6, null, "16", null, null];
}

const from = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

Deno.test(
  withLeft("the redis store answers every read as the sqlite store does, after any writes"),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    await using keys = new OwnKeys();
    const folder = await Deno.makeTempDir();
    const openFile = () => Store.open({ path: `${folder}/sd.db`, durability: "normal", now: 0 });
    const shared = await openRedis(urlOf(keys));
    let file = await openFile();
    let lead = await leadOf(shared);
    try {
      const walk = new StoreWalk(random);
      for (let round = 0; round < (LONG ? 100 : 15); round++) {
        // Some are larger than a script.
        const write = walk.write(random.chance(0.1) ? 1500 : 40);
        await file.store.call("write", write);
        await lead.store.call("write", write);
        await walk.compare(lead.store, file.store);
        if (!random.chance(0.2)) continue;
        await file.store.close();
        await lead.store.close();
        await lead.resign();
        file = await openFile();
        lead = await leadOf(shared);
        sameOpened(lead.opened, file.opened);
      }
    } catch (error) {
      throw new Error(`with SD_SEED=${seed}`, { cause: error });
    } finally {
      await file.store.close();
      await lead.store.close();
      await lead.resign();
      await shared.close();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

Deno.test(
  withLeft("a write that names a wrong status changes nothing in Redis, however large it is"),
  async () => {
    await using keys = new OwnKeys();
    const shared = await openRedis(urlOf(keys));
    const lead = await leadOf(shared);
    await lead.store.call("write", queued([1, 2]));
    for (const count of [3, 2000]) {
      const write = { ...queued(from(10, count)), updates: [...done(1), ...done(2, 1)] };
      const error = await assertRejects(() => lead.store.call("write", write), StoreError);
      assertEquals(error.fault, "damaged");
      const rows = await lead.store.call("find", { ids: ["id-1", "id-10", `id-${9 + count}`] });
      assertEquals(rows.map((row) => row?.status), [0, undefined, undefined]);
    }
    // A key that another program has made is found before anything is written.
    const { Redis } = await import("ioredis");
    const redis = new Redis(keys.server);
    await redis.set(`{sd:${keys.name}}:s:4`, "mine");
    const write = { ...queued([50]), updates: done(1) };
    const error = await assertRejects(() => lead.store.call("write", write), StoreError);
    assert(error.message.includes("was not written by sd"), error.message);
    assertEquals(await lead.store.call("find", { ids: ["id-50"] }), [null]);
    await redis.quit();
    await lead.store.close();
    await lead.resign();
    await shared.close();
  },
);

Deno.test(
  withLeft("the next leader carries out a large commit that was made but not carried out"),
  async () => {
    await using keys = new OwnKeys();
    const shared = await openRedis(urlOf(keys));
    const first = await leadOf(shared);
    const { Redis } = await import("ioredis");
    const redis = new Redis(keys.server);
    await first.store.call("write", queued(from(1, 10)));
    // A snapshot of all keys between two scripts of a commit: taken while it is staged.
    const writing = first.store.call("write", queued(from(11, 3000)));
    const stage = `{sd:${keys.name}}:stage`;
    let kept: Buffer | null = null;
    while (kept === null) {
      kept = await redis.hget(stage, "5") ? await redis.dumpBuffer(stage) : null;
    }
    await writing;
    await first.store.close();
    await first.resign();
    // Uncommitted, it is dropped; committed, it is carried out, again or for the first time.
    await redis.restore(stage, 0, kept as Buffer, "REPLACE");
    await redis.hdel(stage, "commit");
    const second = await leadOf(shared);
    assertEquals(second.opened.counts[0], 3010);
    assertEquals(await redis.exists(stage), 0);
    await second.store.close();
    await second.resign();
    await redis.quit();
    await shared.close();
  },
);

Deno.test(
  withLeft(
    "of writes on a connection that breaks at any moment, each is made once and in order, and nothing is lost",
  ),
  async () => {
    const seed = newSeed();
    const random = new Random(seed);
    await using keys = new OwnKeys();
    await using proxy = new CuttingProxy({ hostname: "127.0.0.1", port: 6379 });
    const url = `redis://127.0.0.1:${proxy.port}?name=${keys.name}`;
    const shared = await openRedis(url);
    const lead = await leadOf(shared);
    let ord = 0;
    const rounds = LONG ? 3000 : 150;
    for (let round = 0; round < rounds; round++) {
      const count = random.chance(0.05) ? 1200 : random.int(1, 20);
      const updates = ord > 0 ? done(ord) : [];
      const writing = lead.store.call("write", { ...queued(from(ord + 1, count)), updates });
      // Before it is sent, while it is carried out, or before its answer is here.
      if (random.chance(0.5)) await delay(random.int(0, count > 1000 ? 40 : 3));
      if (random.chance(0.3)) {
        proxy.hold();
        await delay(random.int(0, 3));
      }
      proxy.cut();
      proxy.release();
      await writing;
      ord += count;
    }
    const [last, before] = await lead.store.call("find", { ids: [`id-${ord}`, "id-1"] });
    assertEquals([last?.status, before?.payload], [0, "{}"], `SD_SEED=${seed}`);
    await lead.store.close();
    await lead.resign();
    const next = await leadOf(shared);
    const sum = next.opened.counts.reduce((all, count) => all + count, 0);
    assertEquals([sum, next.opened.next > ord], [ord, true], `SD_SEED=${seed}`);
    await next.store.close();
    await next.resign();
    await shared.close();
  },
);

Deno.test(
  withLeft("no two answers of the redis store come in one turn of the event loop"),
  async () => {
    await using keys = new OwnKeys();
    const shared = await openRedis(urlOf(keys));
    const lead = await leadOf(shared);
    let turn = 0;
    let isOver = false;
    const count = () => {
      turn++;
      if (!isOver) setImmediate(count);
    };
    count();
    const turns: number[] = [];
    const calls = from(1, 30).map(async (ord) => {
      if (ord % 3 === 0) await lead.store.call("write", queued([ord]));
      else await lead.store.call("find", { ids: [`id-${ord}`] });
      turns.push(turn);
    });
    await Promise.all(calls);
    isOver = true;
    assertEquals(new Set(turns).size, 30, turns.join());
    await lead.store.close();
    await lead.resign();
    await shared.close();
  },
);
