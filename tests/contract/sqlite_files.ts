/** Opens a sqlite engine for a test: no jitter, and whatever it has to report is an error. */

import type { Engine } from "../../server/engine/engine.ts";
import type { PagerSizes } from "../../server/engine/sqlite/pager.ts";
import { openSqliteEngine } from "../../server/engine/sqlite/sqlite_engine.ts";
import { Store } from "../../server/engine/sqlite/store.ts";
import { startSerialsAt } from "../../server/task/task_id.ts";
import { NOW } from "./contract_steps.ts";

export async function openTestSqlite(
  path: string,
  sizes: Partial<PagerSizes> = {},
): Promise<Engine> {
  const { store, opened } = await Store.open({ path, durability: "full", now: NOW });
  startSerialsAt(opened.next);
  return await openSqliteEngine({
    store,
    opened,
    now: NOW,
    report: (message) => {
      throw new Error(message);
    },
    random: () => 0.5,
    maxKept: 1_000_000,
    maxBytes: Infinity,
    sizes,
  });
}
