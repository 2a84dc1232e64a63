/** The postgres engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import type { EndedSink, Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { OwnSchema } from "../kit/services.ts";
import { takeLead } from "../postgres/test_lead.ts";
import { NOW } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
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

testEngine({ name: "postgres", open: (_random, ended) => inNewSchema({}, ended) });
testEngine({
  name: "postgres, queue on disk",
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
