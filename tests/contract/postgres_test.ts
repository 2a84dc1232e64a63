/** The postgres engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import { assertEquals } from "@std/assert";
import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { takeLead } from "../postgres/test_lead.ts";
import { FAILED, leaseIds, leaseMany, leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
import { logOf, recordOf, told } from "./log_contract.ts";
import { patient } from "./sqlite_files.ts";

/** Nearly everything lies in the database. */
const TINY: PagerSizes = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };

/** Of the tests that ask for an order among keys: the page of one may be on its way. */
const ORDER = [
  "keys take turns in any order of submits; tasks without a key are one more key",
  "a key takes its turn with any of its ops",
].map((test) => ({
  test,
  reason: "while the next page of a key is read, other keys of its priority go first",
}));

const COMMON = withPostgres("postgres");

testEngine({ ...COMMON, open: (_random, ended) => inNewSchema({}, ended) });
testEngine({
  ...COMMON,
  name: `${COMMON.name}, queue on disk`,
  open: (_random, ended) => inNewSchema(TINY, ended),
  lacks: ORDER,
});

async function inNewSchema(sizes: Partial<PagerSizes>, ended: EndedSink): Promise<Engine> {
  const schema = new OwnSchema();
  const engine = await open(schema.url, { sizes, ended });
  const close = engine.close.bind(engine);
  engine.close = async () => {
    await close();
    await schema[Symbol.asyncDispose]();
  };
  return engine;
}

interface OpenOptions {
  readonly sizes?: Partial<PagerSizes>;
  readonly ended?: EndedSink;
  readonly now?: number;
}

async function open(
  url: string,
  { sizes = {}, ended = () => {}, now = NOW }: OpenOptions,
): Promise<Engine> {
  const { store, opened, schema } = await takeLead(url);
  const report = (message: string) => {
    throw new Error(message);
  };
  return patient(
    await openJournaledEngine({
      name: "postgres",
      store,
      opened,
      now,
      ended,
      report,
      random: () => 0.5,
      sweeper: new SliceSweeper({ store, schema, maxKept: 1_000_000, report }),
      sizes,
    }),
  );
}

/** Runs `before` in a new schema, closes its engine, and runs `after` on what the next leader finds. */
async function reopened<T>(
  before: (engine: Engine) => Promise<T>,
  after: (engine: Engine, left: T) => Promise<void>,
  sizes: Partial<PagerSizes> = {},
): Promise<void> {
  await using schema = new OwnSchema();
  const first = await open(schema.url, {});
  const left = await before(first);
  await first.close();
  const second = await open(schema.url, { sizes });
  await after(second, left);
  await second.close();
}

Deno.test(
  withPostgres("postgres: the next leader has every task as it was, and none running"),
  () =>
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
      assertEquals(records[3]?.result, '"four"');
      const again = await leaseMany(engine, 9);
      assertEquals(again.map(({ id }) => id), [ids[1]!, ids[0]!, ids[4]!]);
      await engine.ack([{ lease: again[2]!.lease, result: "5" }], NOW);
      const child = await leaseOne(engine);
      assertEquals([child.id, child.after], [ids[5], `{"${ids[4]}":5,"${ids[3]}":"four"}`]);
      assertEquals((await engine.stats()).tasks.running, 3);
    }),
);

Deno.test(
  withPostgres("postgres: the next leader has what tasks said in runs that had ended"),
  () =>
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
      return ids;
    }, async (engine, [first, second]) => {
      assertEquals(told(await recordOf(engine, first!)), ["1 attempt 1: a", "2 attempt 1: b"]);
      assertEquals(told(await recordOf(engine, second!)), ["1 attempt 1: c"]);
      const run = await leaseOne(engine);
      await engine.ack([{ lease: run.lease, result: "1", log: logOf(run, "d") }], NOW);
      const whole = ["1 attempt 1: a", "2 attempt 1: b", "3 attempt 2: d"];
      assertEquals(told(await recordOf(engine, first!)), whole);
    }),
);

Deno.test(withPostgres("postgres: a rate holds across leaders, and settings outlive them"), () => {
  const rated = (engine: Engine, n: number) =>
    task(engine, { n, task: { key: "k", rate: "2/1h" } });
  return reopened(async (engine) => {
    await submit(engine, rated(engine, 1), rated(engine, 2), rated(engine, 3));
    assertEquals((await leaseIds(engine)).length, 2);
    await engine.settings.save("paused/resize", "{}");
    await engine.settings.save("paused/other", "{}");
    await engine.settings.save("paused/other", undefined);
  }, async (engine) => {
    assertEquals(await leaseIds(engine), []);
    assertEquals((await leaseIds(engine, 9, NOW + 3_600_000)).length, 2);
    assertEquals(engine.settings.list("paused/"), [["paused/resize", "{}"]]);
  });
});

Deno.test(
  withPostgres("postgres: the next leader keeps priorities and the order within, from pages"),
  () =>
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
);

Deno.test(
  withPostgres("postgres: people read tasks by the view, with names and times"),
  async () => {
    await using schema = new OwnSchema();
    const engine = await open(schema.url, {});
    await submit(
      engine,
      task(engine, { task: { id: "a", key: "k", priority: 3 } }),
      task(engine, { task: { id: "b", delay: 60_000 } }),
    );
    const { lease } = await leaseOne(engine);
    await engine.ack([{ lease, result: "16" }], NOW + 5);
    assertEquals(
      await schema.sql(`set timezone = 'UTC'; select id, op, status, key, priority, result, attempt,
      created_at, finished_at, payload::json ->> 'n' from tasks order by number`),
      "a|square|completed|k|3|16|1|2027-01-15 08:00:00+00|2027-01-15 08:00:00.005+00|4\n" +
        "b|square|delayed||0||0|2027-01-15 08:00:00+00||4",
    );
    await engine.close();
  },
);
