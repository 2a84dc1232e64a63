/**
 * Opens the file of a store, or makes it, with the one connection that it ever has. What a person must see to
 * first is a `ClientError` that says so; a file is never taken for an empty one.
 */

import { DatabaseSync } from "node:sqlite";
import { createFile } from "./create_file.ts";
import { cannotUse, checkFile, fileExists, openRaw, refusal, RESTORE } from "./file_check.ts";
import { MIGRATIONS } from "./schema.ts";
import type { StoreStart } from "./store_message.ts";
import type { Durability } from "../../options.ts";
import { faultOf, isBusy } from "./sqlite_fault.ts";

/** A server that is just ending gives its file back within this. */
const BUSY_MS = 1000;
/** A part of what the server may use: rows are added and read at their ends, so little of the file is wanted at a time. */
export const CACHE_KIB = 32_768;

/** What the log keeps of the room that it took while a backup held it up. */
const MAX_IDLE_LOG_BYTES = 64 * 1024 * 1024;

export interface OpenFile {
  /** Of the file itself, if a link leads to it: its log is beside it. */
  readonly path: string;
  readonly db: DatabaseSync;
  /** The main file: read here alone, and closed after `db`, since closing it ends the lock of the process. */
  readonly raw: Deno.FsFile;
}

export interface OpenFileOptions extends StoreStart {
  /** Other than those of this version: for tests. */
  readonly migrations?: readonly string[];
}

export function openFile(options: OpenFileOptions): OpenFile {
  const { durability, now, migrations = MIGRATIONS } = options;
  const path = realPath(options.path);
  if (!fileExists(path)) createFile({ path, migrations, now });
  const raw = openRaw(path);
  try {
    check(path, raw, durability);
    const db = connect(path, durability);
    try {
      migrate(db, path, migrations);
    } catch (error) {
      db.close();
      throw error;
    }
    return { path, db, raw };
  } catch (error) {
    raw.close();
    throw error;
  }
}

/** SQLite follows a link to the file, and keeps the log beside that. */
function realPath(path: string): string {
  try {
    return Deno.lstatSync(path).isSymlink ? Deno.realPathSync(path) : path;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw cannotUse(path, error);
  }
}

/** A file that another server writes to may look odd at any moment: then that is what is wrong with it. */
function check(path: string, raw: Deno.FsFile, durability: Durability): void {
  try {
    checkFile(path, raw, durability);
  } catch (error) {
    if (isInUse(path)) throw inUse(path, error);
    throw error;
  }
}

function isInUse(path: string): boolean {
  try {
    const db = new DatabaseSync(path, { readOnly: true, timeout: 0 });
    try {
      db.prepare("PRAGMA locking_mode = EXCLUSIVE").get();
      db.prepare("SELECT 1 FROM sqlite_schema LIMIT 1").get();
    } finally {
      db.close();
    }
    return false;
  } catch (error) {
    return isBusy(error);
  }
}

function inUse(path: string, cause: unknown): Error {
  return refusal(
    `cannot open ${path}: another server uses it`,
    "stop that one first, or give this one a file of its own: --engine sqlite:PATH",
    cause,
  );
}

/** The lock is taken before the log is touched: so it is for everybody, and needs no shared memory. */
export function connect(path: string, durability: Durability): DatabaseSync {
  let db: DatabaseSync | undefined;
  try {
    db = new DatabaseSync(path, { timeout: BUSY_MS });
    db.exec(
      `PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA locking_mode = EXCLUSIVE;
      PRAGMA cell_size_check = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;
      PRAGMA cache_size = ${-CACHE_KIB};`,
    );
    const mode = db.prepare("PRAGMA journal_mode = WAL").get();
    if (mode?.journal_mode !== "wal") throw new Error(`no log is possible for ${path}`);
    db.exec(
      `PRAGMA synchronous = ${durability}; PRAGMA wal_autocheckpoint = 0;
      PRAGMA journal_size_limit = ${MAX_IDLE_LOG_BYTES};
      BEGIN IMMEDIATE; COMMIT`,
    );
    return db;
  } catch (error) {
    db?.close();
    if (isBusy(error)) throw inUse(path, error);
    const { fault, message } = faultOf(error);
    if (fault === "damaged") throw refusal(`cannot open ${path}: ${message}`, RESTORE, error);
    if (fault === "bug") throw error;
    throw refusal(
      `cannot use ${path}: ${message}`,
      "see that its disk has room and that this user may write to the file and its folder",
      error,
    );
  }
}

function migrate(db: DatabaseSync, path: string, migrations: readonly string[]): void {
  const row = db.prepare("PRAGMA user_version").get();
  const version = Number(row?.user_version);
  if (version > migrations.length) {
    throw refusal(
      `cannot open ${path}: a newer sd made it (version ${version} of the file, this sd knows ` +
        `${migrations.length})`,
      "run that sd, or a newer one",
    );
  }
  if (version < 1) throw refusal(`cannot open ${path}: it has no tables of sd`, RESTORE);
  for (let next = version; next < migrations.length; next++) {
    db.exec("BEGIN IMMEDIATE");
    try {
      db.exec(`${migrations[next]}; PRAGMA user_version = ${next + 1}; COMMIT`);
    } catch (error) {
      if (db.isTransaction) db.exec("ROLLBACK");
      throw error;
    }
  }
}
