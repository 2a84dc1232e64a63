/** The redis engine keeps the contract of engines, also when next to nothing of it fits in memory; its store that of stores. */

import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { withRedis } from "../kit/services.ts";
import { testEngine } from "./engine_contract.ts";
import { newEngine, newStage } from "./redis_stage.ts";
import { testStore } from "./store_contract.ts";

/** Nearly everything lies in Redis. */
const TINY: PagerSizes = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };

/** Of the tests that ask for an order among keys: the page of one may be on its way. */
const ORDER = [
  "keys take turns in any order of submits; tasks without a key are one more key",
  "a key takes its turn with any of its ops",
].map((test) => ({
  test,
  reason: "while the next page of a key is read, other keys of its priority go first",
}));

const COMMON = {
  ...withRedis("redis"),
  // The parser of ioredis keeps a timer for ten seconds after a large answer.
  sanitizeOps: false,
};

testEngine({ ...COMMON, open: (_random, ended) => newEngine({ ended }) });
testEngine({
  ...COMMON,
  name: `${COMMON.name}, queue in Redis`,
  open: (_random, ended) => newEngine({ ended, sizes: TINY }),
  lacks: ORDER,
});

testStore({
  name: "redis store",
  options: withRedis,
  sanitizeOps: false,
  stage: newStage,
  isShared: true,
  canBeCut: true,
});
