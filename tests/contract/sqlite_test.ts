/** The sqlite engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import { setImmediate } from "node:timers";
import { assertEquals } from "@std/assert";
import type { PagerSizes } from "../../server/engine/sqlite/pager.ts";
import { leaseOne, NOW, submit, task } from "./contract_steps.ts";
import { testEngine } from "./engine_contract.ts";
import { openTestSqlite } from "./sqlite_files.ts";

/** Nearly everything lies on disk. */
const TINY: PagerSizes = { lane: 2, page: 1, all: 2, few: 1, chars: 200, delayed: 1 };

/** Of the tests that ask for an order among lanes: a page of one may be on its way. */
const ORDER = [
  "tasks of one priority are leased first in first out, whatever their ops",
  "a higher priority is leased first",
  "keys take turns, whoever came first; tasks without a key are one key more",
  "a key takes its turn whichever of its ops is leased",
].map((test) => ({ test, reason: "a lane whose next page is on its way lets others go first" }));

for (const [name, sizes] of [["in memory", {}], ["on disk", TINY]] as const) {
  Deno.test(`the sqlite engine keeps the contract with its queue ${name}`, async (t) => {
    const folder = await Deno.makeTempDir();
    try {
      let files = 0;
      await testEngine(t, {
        open: () => openTestSqlite(`${folder}/${++files}.db`, sizes),
        lacks: sizes === TINY ? ORDER : [],
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("a sqlite engine that is opened again has every task as it was, and none running", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const engine = await openTestSqlite(`${folder}/sd.db`);
    assertEquals(engine.traits.durable, true);
    await engine.close();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a task that leaves memory while others are looked for on disk is known all the same", async () => {
  const folder = await Deno.makeTempDir();
  const engine = await openTestSqlite(`${folder}/sd.db`);
  try {
    const first = task({ task: { id: "first" } });
    await submit(engine, first);
    const { lease } = await leaseOne(engine);
    const acking = engine.ack([{ lease, result: "16" }], NOW);
    // Its end is on its way to the disk; when the answer to what is asked now comes, it is gone from here.
    await new Promise((resolve) => setImmediate(resolve));
    const again = engine.enqueue(
      [task({ task: { id: "first" } }), task({ task: { id: "second", after: ["first"] } })],
      NOW,
    );
    assertEquals((await acking).map(({ id }) => id), ["first"]);
    const [exists, after] = await again;
    assertEquals([exists?.outcome, exists?.finished?.result], ["exists", "16"]);
    assertEquals([after?.outcome, after?.status], ["created", "queued"]);
    const cancelled = await engine.cancel(["first", "second", "nobody"], NOW);
    assertEquals(cancelled.map(({ outcome }) => outcome), ["final", "cancelled", "not_found"]);
  } finally {
    await engine.close();
    await Deno.remove(folder, { recursive: true });
  }
});
