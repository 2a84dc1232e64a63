/**
 * Opens the sqlite engine: the journaled engine on a store that is one file, with the backup of that file. Called by
 * `openEngine` with the URL of an operator, and by tests with a store of their own.
 */

import { stateDir } from "../../../cli/state_dir.ts";
import { SdError } from "../../../protocol/errors.ts";
import type { Backup, Engine } from "../engine.ts";
import { openJournaledEngine } from "../journaled/journaled_engine.ts";
import type { JournaledOptions } from "../journaled/options.ts";
import type { TaskStore } from "../journaled/task_store.ts";
import type { EngineOptions } from "../options.ts";
import { FileSweeper, type FileSweeperOptions } from "./file_sweeper.ts";
import { sqlitePath } from "./location.ts";
import { Store } from "./store.ts";

const GIB = 1024 ** 3;
/** Bytes of one request of a backup; other requests are answered between two of them. */
const CHUNK_BYTES = 256 * 1024;
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

interface SqliteOptions
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

/**
 * Copies the file while the server runs. All commits are moved into the main file, which then stays as it is until the
 * copy is made; new commits stay in the write-ahead log.
 */
class FileBackup {
  readonly #store: Pick<Store, "call">;
  #isUnderWay = false;

  constructor(store: Pick<Store, "call">) {
    this.#store = store;
  }

  async begin(): Promise<Backup> {
    if (this.#isUnderWay) throw new SdError("conflict", "another backup is under way");
    this.#isUnderWay = true;
    try {
      const { bytes, files } = await this.#store.call("backupBegin", null);
      return { bytes, files, chunks: () => this.#read(bytes), end: () => this.#end() };
    } catch (error) {
      this.#isUnderWay = false;
      throw error;
    }
  }

  async #end(): Promise<void> {
    if (!this.#isUnderWay) return;
    this.#isUnderWay = false;
    await this.#store.call("backupEnd", null);
  }

  async *#read(bytes: number): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes;) {
      const ask = { at, bytes: Math.min(CHUNK_BYTES, bytes - at) };
      const chunk = await this.#store.call("backupRead", ask);
      if (chunk.length === 0) throw new Error(`the file ends at byte ${at} of ${bytes}`);
      at += chunk.length;
      yield chunk;
    }
  }
}
