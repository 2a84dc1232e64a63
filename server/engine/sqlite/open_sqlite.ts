/**
 * Opens the sqlite engine: the journaled engine on a store that is one file. Called by `openEngine` with the URL of an
 * operator, and by tests with a store of their own.
 */

import { stateDir } from "../../../cli/state_dir.ts";
import { startSerialsAt } from "../../task/task_id.ts";
import type { Engine } from "../engine.ts";
import { type JournaledOptions, openJournaledEngine } from "../journaled/journaled_engine.ts";
import type { TaskStore } from "../journaled/task_store.ts";
import type { EngineOptions } from "../options.ts";
import { FileBackup } from "./file_backup.ts";
import { FileSweeper, type FileSweeperOptions } from "./file_sweeper.ts";
import { sqlitePath } from "./location.ts";
import { Store } from "./store.ts";

const GIB = 1024 ** 3;
/** Default of `maxKept`, in records. */
const MAX_KEPT = 1_000_000;
/** Default of `maxFileBytes`. */
const MAX_FILE_BYTES = 4 * GIB;

/** Rejects with a `ClientError` that names the cure if the file cannot be used. */
export async function openSqlite(url: string, options: EngineOptions): Promise<Engine> {
  const {
    durability = "full",
    maxQueued = Infinity,
    maxKept = MAX_KEPT,
    maxFileBytes = MAX_FILE_BYTES,
    ended = () => {},
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
      ended,
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

export interface SqliteOptions
  extends Omit<JournaledOptions, "name" | "sweeper" | "backup">, FileSweeperOptions {
  readonly store: TaskStore & Pick<Store, "call">;
}

/** The engine on a store that is open. */
export async function openSqliteEngine(options: SqliteOptions): Promise<Engine> {
  const backup = new FileBackup(options.store);
  return await openJournaledEngine({
    ...options,
    name: "sqlite",
    sweeper: new FileSweeper(options),
    backup: () => backup.begin(),
  });
}
