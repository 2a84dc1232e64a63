/** The redis engine keeps the contract of engines, also when next to nothing of it fits in memory; its store that of stores. */

import { OwnKeys, withRedis } from "../kit/services.ts";
import { testEngine } from "./engine_contract.ts";
import { engineOn, newEngine, newStage } from "./redis_stage.ts";
import { testReopening, TINY, UNORDERED_KEYS } from "./reopen_contract.ts";
import { testStore } from "./store_contract.ts";

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
  lacks: UNORDERED_KEYS,
});

testStore({
  name: "redis store",
  options: withRedis,
  sanitizeOps: false,
  stage: newStage,
  isShared: true,
  canBeCut: true,
});

testReopening({
  name: "redis",
  options: withRedis,
  async reopened(before, after, sizes = {}) {
    await using keys = new OwnKeys();
    const url = `${keys.server}?name=${keys.name}`;
    const first = await engineOn(url, { sizes });
    const left = await before(first);
    await first.close();
    const second = await engineOn(url, { sizes });
    await after(second, left);
    await second.close();
  },
});
