/** The postgres engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import { assertEquals } from "@std/assert";
import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { takeLead } from "../postgres/test_lead.ts";
import { leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
import { testReopening, TINY, UNORDERED_KEYS } from "./reopen_contract.ts";
import { patient } from "./sqlite_files.ts";

const COMMON = withPostgres("postgres");

testEngine({ ...COMMON, open: (_random, ended) => inNewSchema({}, ended) });
testEngine({
  ...COMMON,
  name: `${COMMON.name}, queue on disk`,
  open: (_random, ended) => inNewSchema(TINY, ended),
  lacks: UNORDERED_KEYS,
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
  const first = await open(schema.url, { sizes });
  const left = await before(first);
  await first.close();
  const second = await open(schema.url, { sizes });
  await after(second, left);
  await second.close();
}

testReopening({ name: "postgres", options: withPostgres, reopened });

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
