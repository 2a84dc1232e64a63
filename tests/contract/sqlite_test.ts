/** The sqlite engine keeps the contract of engines, also when next to nothing of it fits in memory. */

import { assertEquals } from "@std/assert";
import type { PagerSizes } from "../../server/engine/sqlite/pager.ts";
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
