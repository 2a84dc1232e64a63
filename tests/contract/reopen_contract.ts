/**
 * What an engine finds in the store that an earlier one has left, on every durable engine. Also what engines share in tests
 * with next to nothing in memory.
 */

import { assertEquals } from "@std/assert";
import type { Engine } from "../../server/engine/engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { FAILED, leaseIds, leaseMany, leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { logOf, recordOf, told } from "./log_contract.ts";

/** Nearly everything lies in the store. */
export const TINY: PagerSizes = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };

/** Claims about an order among keys, which an engine of that size lacks. */
export const UNORDERED_KEYS = [
  "keys take turns in any order of submits; tasks without a key are one more key",
  "a key takes its turn with any of its ops",
].map((test) => ({
  test,
  reason: "while the next page of a key is read, other keys of its priority go first",
}));

/** Runs `before` on the engine of a new store, closes it, and runs `after` on the engine that opens the store next. */
export type Reopened = <T>(
  before: (engine: Engine) => Promise<T>,
  after: (engine: Engine, left: T) => Promise<void>,
  sizes?: Partial<PagerSizes>,
) => Promise<void>;

interface ReopenContract {
  /** The engine's name, before each claim. */
  readonly name: string;
  readonly reopened: Reopened;
  /** The options of `Deno.test` for a claim. */
  readonly options?: (claim: string) => { name: string; ignore: boolean };
}

/** Tests the contract of an engine that is opened again. */
export function testReopening({ name, reopened, options }: ReopenContract): void {
  for (const [claim, test] of Object.entries(TESTS)) {
    const title = `${name}: ${claim}`;
    Deno.test({
      ...options?.(title) ?? { name: title },
      fn: () => test(reopened),
    });
  }
}

const rated = (engine: Engine, n: number) => task(engine, { n, task: { key: "k", rate: "2/1h" } });

const TESTS: Readonly<Record<string, (reopened: Reopened) => Promise<void>>> = {
  "the next engine has every task as it was, and none running": (reopened) =>
    reopened(async (engine) => {
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
      const after = [ids[4]!, ids[3]!];
      const child = await submit(engine, task(engine, { n: 6, task: { after } }));
      return [...ids, ...child];
    }, async (engine, ids) => {
      const records = await engine.get(ids);
      assertEquals(
        records.map((record) => [record?.status, record?.attempt, record?.deaths]),
        [
          ["queued", 0, 1],
          ["queued", 0, 0],
          ["delayed", 0, 0],
          ["completed", 1, 0],
          ["queued", 0, 0],
          ["delayed", 0, 0],
        ],
      );
      const limit = { key: "k", limit: 1, rate: undefined };
      assertEquals([records[3]?.result, records[1]?.keyLimit], ['"four"', limit]);
      const again = await leaseMany(engine, 9);
      assertEquals(again.map(({ id }) => id), [ids[1]!, ids[0]!, ids[4]!]);
      await engine.ack([{ lease: again[2]!.lease, result: "5" }], NOW);
      const child = await leaseOne(engine);
      assertEquals([child.id, child.after], [ids[5], `{"${ids[4]}":5,"${ids[3]}":"four"}`]);
      assertEquals((await engine.stats()).tasks.running, 3);
    }),

  "the next engine has the output of runs that had ended": (reopened) =>
    reopened(async (engine) => {
      const ids = await submit(
        engine,
        task(engine, { n: 1, task: { attempts: 2, backoff: 0 } }),
        task(engine),
      );
      const [first, second] = await leaseMany(engine, 2);
      const log = logOf(first!, "a", "b");
      await engine.nack([{ lease: first!.lease, reason: "failed", error: FAILED, log }], NOW);
      await engine.ack([{ lease: second!.lease, result: "1", log: logOf(second!, "c") }], NOW);
      // It runs again, and its end never comes.
      assertEquals((await leaseOne(engine)).id, ids[0]);
      return ids;
    }, async (engine, [first, second]) => {
      assertEquals(told(await recordOf(engine, first!)), ["1 attempt 1: a", "2 attempt 1: b"]);
      assertEquals(told(await recordOf(engine, second!)), ["1 attempt 1: c"]);
      const run = await leaseOne(engine);
      await engine.ack([{ lease: run.lease, result: "1", log: logOf(run, "d") }], NOW);
      const whole = ["1 attempt 1: a", "2 attempt 1: b", "3 attempt 2: d"];
      assertEquals(told(await recordOf(engine, first!)), whole);
    }),

  "a rate holds beyond the end of an engine, and settings outlive it": (reopened) =>
    reopened(async (engine) => {
      await submit(engine, rated(engine, 1), rated(engine, 2), rated(engine, 3));
      assertEquals((await leaseIds(engine)).length, 2);
      await engine.settings.save("paused/resize\u0000", "{}");
      await engine.settings.save("paused/other", "{}");
      await engine.settings.save("paused/other", undefined);
    }, async (engine) => {
      assertEquals(await leaseIds(engine), []);
      assertEquals((await leaseIds(engine, 9, NOW + 3_600_000)).length, 2);
      assertEquals(engine.settings.list("paused/"), [["paused/resize\u0000", "{}"]]);
      assertEquals(engine.settings.list("rate/"), []);
    }),

  "from pages, no priority is overtaken by a lower one, and each is first in first out": (
    reopened,
  ) =>
    reopened(async (engine) => {
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
    }, TINY),
};
