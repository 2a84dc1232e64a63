/** With an idle worker every due task starts, even if the disk answers late and fails at times. */

import { assert } from "@std/assert";
import { deadline } from "@std/async/deadline";
import type { EndedSink } from "../../server/engine/engine.ts";
import type { PagerSizes } from "../../server/engine/journaled/pager.ts";
import { openSqliteEngine } from "../../server/engine/sqlite/open_sqlite.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { NOW } from "../contract/contract_steps.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { BacklogWalk, type Walked } from "./backlog_walk.ts";
import { FlakyStore } from "../faults/flaky_store.ts";

const WALKS = 8;
const STEPS = 250;
/** Longest time of a walk, in ms; a longer one stands still. */
const LONGEST_MS = 120_000;

/** Reports of engines; they are expected here, since the store fails. */
const reports: string[] = [];

interface Opening {
  readonly sizes: PagerSizes;
  readonly random: Random;
  readonly ended: EndedSink;
}

async function openFlaky(path: string, { sizes, random, ended }: Opening): Promise<Walked> {
  const { store, opened } = await Store.open({ path, durability: "normal", now: NOW });
  const faults = { full: random.pick([0, 0.1]), unreadable: random.pick([0, 0.05]) };
  const flaky = new FlakyStore(store, random, faults);
  const engine = await openSqliteEngine({
    store: flaky,
    opened,
    now: NOW,
    ended,
    report: (message) => void reports.push(message),
    random: () => random.next(),
    maxKept: 1_000_000,
    maxBytes: Infinity,
    sizes,
  });
  return { engine, mend: () => flaky.mend() };
}

Deno.test("on a store that answers late and fails, every acknowledged task ends beside an idle worker", async () => {
  const seed = newSeed();
  const seeds = new Random(seed);
  const folder = await Deno.makeTempDir();
  let acknowledged = 0;
  try {
    for (let at = 0; at < WALKS; at++) {
      const random = seeds.fork();
      const sizes = {
        lane: random.int(2, 12),
        page: random.int(1, 5),
        all: random.int(4, 60),
        few: random.int(1, 2),
        chars: random.pick([200, 1_000_000]),
        delayed: random.int(1, 5),
      };
      const walk = await BacklogWalk.start(
        random,
        (ended) => openFlaky(`${folder}/${at}.db`, { sizes, random, ended }),
      );
      try {
        await deadline(walk.run(STEPS).then(() => walk.drain()), LONGEST_MS);
      } catch (error) {
        const last = reports.slice(-3).join("; ");
        throw new Error(`walk ${at} of seed ${seed}; last reported: ${last}`, { cause: error });
      } finally {
        await walk.close();
      }
      acknowledged += walk.acknowledged;
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  assert(acknowledged > WALKS * 100, `only ${acknowledged} tasks: the walks do not move`);
});
