/** From a `sqlite:` URL to the engine on its file. */

import { stateDir } from "../../../cli/state_dir.ts";
import type { Engine } from "../engine.ts";
import { startSerialsAt } from "../../task/task_id.ts";
import type { EngineOptions } from "../options.ts";
import { sqlitePath } from "./location.ts";
import { openSqliteEngine } from "../journaled/journaled_engine.ts";
import { Store } from "./store.ts";

const GIB = 1024 ** 3;
const MAX_KEPT = 1_000_000;
const MAX_FILE_BYTES = 4 * GIB;

/** Throws `ClientError` with what to do about it, where the file cannot be had. */
export async function openSqlite(url: string, options: EngineOptions): Promise<Engine> {
  const {
    durability = "full",
    maxQueued = Infinity,
    maxKept = MAX_KEPT,
    maxFileBytes = MAX_FILE_BYTES,
    report = () => {},
  } = options;
  const path = sqlitePath(url, options.dataDir ?? stateDir());
  const now = Date.now();
  const { store, opened } = await Store.open({
    path,
    durability,
    now,
    onDamaged: (rows) => rows.forEach(({ message }) => report(message)),
    onNote: report,
  });
  try {
    startSerialsAt(opened.next);
    return await openSqliteEngine({
      store,
      opened,
      now,
      report,
      maxQueued,
      maxKept,
      maxBytes: maxFileBytes,
    });
  } catch (error) {
    await store.close();
    throw error;
  }
}
