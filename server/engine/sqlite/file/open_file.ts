/**
 * Opens the file of a store, or makes it, with the one connection that the store ever has. A fault that a person must see
 * to is a `ClientError` with the cure. A file that exists is never taken for an empty one.
 *
 * A new store is made under another name beside its place, and moved there when it is whole and on the disk. So a crash
 * leaves a whole store or none.
 */

import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { randomMark } from "./file_guard.ts";
import { cannotUse, checkFile, fileExists, openRaw, refusal, RESTORE } from "./file_check.ts";
import { APPLICATION_ID, MIGRATIONS, PAGE_BYTES } from "./schema.ts";
import type { StoreStart } from "./store_message.ts";
import type { Durability } from "../../options.ts";
import { faultOf, isBusy } from "./sqlite_fault.ts";

/** Longest wait for the lock of a server that is just ending, in ms. */
const BUSY_MS = 1000;
/** Size of the page cache in KiB: rows are added and read at their ends, so little of the file is needed at a time. */
export const CACHE_KIB = 32_768;

/** Bytes that the log keeps of the room that it took during a backup. */
const MAX_IDLE_LOG_BYTES = 64 * 1024 * 1024;

/** Age at which an unfinished store of another process is removed, in ms. */
const UNFINISHED_MS = 60_000;

interface OpenFile {
  /** The path of the file itself, if a link leads to it: the log is beside it. */
  readonly path: string;
  readonly db: DatabaseSync;
  /** The main file. Read it only by this, and close it after `db`: closing it ends the lock of the process. */
  readonly raw: Deno.FsFile;
}

export interface OpenFileOptions extends StoreStart {
  /** For tests; default: the migrations of this version. */
  readonly migrations?: readonly string[];
}

export function openFile(options: OpenFileOptions): OpenFile {
  const { durability, now, migrations = MIGRATIONS } = options;
  const path = realPath(options.path);
  if (!fileExists(path)) createFile({ path, migrations, now });
  const raw = openRaw(path);
  try {
    check(path, raw, durability);
    const db = openConnection(path, durability);
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

/** The path of the file itself: SQLite follows a link, and keeps the log beside the file. */
function realPath(path: string): string {
  try {
    return Deno.lstatSync(path).isSymlink ? Deno.realPathSync(path) : path;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return path;
    throw cannotUse(path, error);
  }
}

/** Checks the file. If another server writes to it, it can look damaged; then that server is named as the cause. */
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

/** Opens the connection. The lock is taken before the log is touched, so it is exclusive and needs no shared memory. */
export function openConnection(path: string, durability: Durability): DatabaseSync {
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

/** Makes a new, empty store, unless another process makes it at the same time. */
function createFile(
  { path, migrations, now }: { path: string; migrations: readonly string[]; now: number },
): void {
  const folder = dirname(path);
  const unfinished = join(folder, `${basename(path)}.new-${Deno.pid}-${crypto.randomUUID()}`);
  try {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    dropUnfinished(path, now);
    // SQLite gives its own files the mode of this one.
    Deno.openSync(unfinished, { createNew: true, write: true, mode: 0o600 }).close();
  } catch (error) {
    throw refusal(
      `cannot make ${path}: ${(error as Error).message}`,
      `let this user write into ${folder}, or name another file: --engine sqlite:PATH`,
      error,
    );
  }
  try {
    fill(unfinished, migrations);
    sync(unfinished, { write: true });
    moveInto(unfinished, path);
  } finally {
    remove(unfinished);
  }
  // The name is on the disk once its folder is. Windows opens no folders, and does not need this.
  if (Deno.build.os !== "windows") sync(folder, { read: true });
}

function fill(path: string, migrations: readonly string[]): void {
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    db.exec(
      `PRAGMA page_size = ${PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;
      PRAGMA application_id = ${APPLICATION_ID}; PRAGMA journal_mode = MEMORY;
      PRAGMA default_cache_size = ${randomMark()};
      BEGIN; ${migrations.join(";\n")};
      PRAGMA user_version = ${migrations.length}; COMMIT`,
    );
    // Last, since it is written into the header: from then on only this mode is used.
    db.prepare("PRAGMA journal_mode = WAL").get();
  } finally {
    db.close();
  }
}

function sync(path: string, options: Deno.OpenOptions): void {
  using file = Deno.openSync(path, options);
  file.syncSync();
}

/** Moves by a link, which never replaces a file: two servers that start at once agree on one file. */
function moveInto(from: string, path: string): void {
  try {
    Deno.linkSync(from, path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    // This file system has no links.
    Deno.renameSync(from, path);
  }
}

/** Removes files of processes that ended while they made a store. */
function dropUnfinished(path: string, now: number): void {
  for (const { name } of Deno.readDirSync(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.new-`)) continue;
    const found = join(dirname(path), name);
    if (ageOf(found, now) > UNFINISHED_MS) remove(found);
  }
}

/** The age of a file in ms; 0 if it is missing. */
function ageOf(path: string, now: number): number {
  try {
    return now - (Deno.statSync(path).mtime?.getTime() ?? now);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return 0;
    throw error;
  }
}

function remove(path: string): void {
  try {
    Deno.removeSync(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}
