/**
 * Makes a new, empty store. It is made under another name beside its place and moved there when it is whole and
 * on the disk: a crash leaves nothing at all, or a store, never half of one.
 */

import { basename, dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { APPLICATION_ID, PAGE_BYTES } from "./schema.ts";
import { refusal } from "./file_check.ts";
import { randomMark } from "./file_guard.ts";

const UNFINISHED_MS = 60_000;

/** Returns when a store is at `path`: a new one, or one that another process made meanwhile. */
export function createFile(
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
  // A name is on the disk when its folder is. Windows opens no folders, and needs none of this.
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
    // The last one: it is in the header, so that nothing is ever written in another mode.
    db.prepare("PRAGMA journal_mode = WAL").get();
  } finally {
    db.close();
  }
}

function sync(path: string, options: Deno.OpenOptions): void {
  using file = Deno.openSync(path, options);
  file.syncSync();
}

/** A link never replaces a file, as renaming would: two servers that start at once agree on one file. */
function moveInto(from: string, path: string): void {
  try {
    Deno.linkSync(from, path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    // A file system without links.
    Deno.renameSync(from, path);
  }
}

/** What a process left that ended while it made a store. */
function dropUnfinished(path: string, now: number): void {
  for (const { name } of Deno.readDirSync(dirname(path))) {
    if (!name.startsWith(`${basename(path)}.new-`)) continue;
    const found = join(dirname(path), name);
    if (ageOf(found, now) > UNFINISHED_MS) remove(found);
  }
}

/** In ms; 0 for a file that is gone meanwhile. */
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
