/** The tasks, logs, rates and settings that the next leader finds in Redis. */

import { assertEquals } from "@std/assert";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import type { Engine } from "../../server/engine/engine.ts";
import {
  FAILED,
  leaseIds,
  leaseMany,
  leaseOne,
  NOW,
  submit,
  task,
} from "../contract/contract_steps.ts";
import { logOf, recordOf, told } from "../contract/log_contract.ts";
import { engineOn } from "../contract/redis_stage.ts";
import { OwnKeys, withRedis } from "../kit/services.ts";

/** Nearly everything lies in Redis. */
const TINY: PagerSizes = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };

/** Runs `before` under one leader, and `after` under the next. */
async function reopened<T>(
  before: (engine: Engine) => Promise<T>,
  after: (engine: Engine, left: T) => Promise<void>,
  sizes: Partial<PagerSizes> = {},
): Promise<void> {
  await using keys = new OwnKeys();
  const url = `${keys.server}?name=${keys.name}`;
  const first = await engineOn(url, { sizes });
  const left = await before(first);
  await first.close();
  const second = await engineOn(url, { sizes });
  await after(second, left);
  await second.close();
}

Deno.test(
  withRedis("the next leader on Redis has every task as it was, and none running"),
  async () => {
    await reopened(async (engine) => {
      const ids = await submit(
        engine,
        task(engine, { n: 1, task: { attempts: 2 } }),
        task(engine, { n: 2, task: { key: "k", limit: 1, priority: 3 } }),
        task(engine, { n: 3, task: { delay: 60_000 } }),
        task(engine, { n: 4 }),
        task(engine, { n: 5 }),
      );
      const [second, first, fourth] = await leaseMany(engine, 3);
      await engine.ack([{ lease: fourth!.lease, result: '"four"' }], NOW);
      await engine.nack([{ lease: first!.lease, reason: "died" }], NOW);
      assertEquals((await leaseOne(engine)).id, ids[0]);
      assertEquals(second!.id, ids[1]);
      const child = await submit(
        engine,
        task(engine, { n: 6, task: { after: [ids[4]!, ids[3]!] } }),
      );
      return [...ids, ...child];
    }, async (engine, ids) => {
      const records = await engine.get(ids);
      const states = records.map((record) => [record?.status, record?.attempt, record?.deaths]);
      assertEquals(states, [
        ["queued", 0, 1],
        ["queued", 0, 0],
        ["delayed", 0, 0],
        ["completed", 1, 0],
        ["queued", 0, 0],
        ["delayed", 0, 0],
      ]);
      assertEquals(records[3]?.result, '"four"');
      const again = await leaseMany(engine, 9);
      assertEquals(again.map(({ id }) => id), [ids[1]!, ids[0]!, ids[4]!]);
      await engine.ack([{ lease: again[2]!.lease, result: "5" }], NOW);
      const child = await leaseOne(engine);
      assertEquals([child.id, child.after], [ids[5], `{"${ids[4]}":5,"${ids[3]}":"four"}`]);
    });
  },
);

Deno.test(
  withRedis("under the next leader on Redis, from pages, priorities and turns are as before"),
  async () => {
    await reopened(async (engine) => {
      const tasks = Array.from({ length: 60 }, (_, n) =>
        task(engine, {
          op: n % 2 === 0 ? "square" : "echo",
          n,
          task: { priority: n * 7 % 5, wait: false },
        }));
      await submit(engine, ...tasks);
      return tasks.toSorted((a, b) => b.rules.priority - a.rules.priority || a.serial - b.serial);
    }, async (engine, expected) => {
      assertEquals(await leaseIds(engine, 60), expected.map(({ id }) => id));
    }, TINY);
  },
);

Deno.test(
  withRedis("the next leader on Redis has the logs, rates and settings of the one before"),
  async () => {
    const rated = (engine: Engine, n: number) =>
      task(engine, { n, task: { key: "k", rate: "2/1h" } });
    await reopened(async (engine) => {
      const [id] = await submit(engine, task(engine, { task: { attempts: 2, backoff: 0 } }));
      const run = await leaseOne(engine);
      await engine.nack(
        [{ lease: run.lease, reason: "failed", error: FAILED, log: logOf(run, "a", "b") }],
        NOW,
      );
      const again = await leaseOne(engine);
      await engine.ack([{ lease: again.lease, result: "1", log: logOf(again, "c") }], NOW);
      await submit(engine, rated(engine, 1), rated(engine, 2), rated(engine, 3));
      assertEquals((await leaseIds(engine)).length, 2);
      await engine.settings.save("paused/resize\u0000", "{}");
      await engine.settings.save("paused/other", "{}");
      await engine.settings.save("paused/other", undefined);
      return id!;
    }, async (engine, id) => {
      const lines = ["1 attempt 1: a", "2 attempt 1: b", "3 attempt 2: c"];
      assertEquals(told(await recordOf(engine, id)), lines);
      assertEquals(await leaseIds(engine), []);
      assertEquals((await leaseIds(engine, 9, NOW + 3_600_000)).length, 2);
      assertEquals(engine.settings.list("paused/"), [["paused/resize\u0000", "{}"]]);
    });
  },
);
