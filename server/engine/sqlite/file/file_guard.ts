/**
 * Notices that the file of a store was removed, replaced or overwritten while the server uses it.
 *
 * Each log begins with a new mark: a number in the header of the file, one higher than the last. So a file and the log
 * beside it belong together only if the first mark in the log equals the mark of the file, or follows it. A backup gets a
 * mark of its own. (SQLite keeps the mark for `PRAGMA default_cache_size`, which nothing here uses.)
 */

import type { DatabaseSync } from "node:sqlite";
import type { FileIdentity } from "../../../../protocol/transfer.ts";
import { FaultError } from "./sqlite_fault.ts";
import { MARK_AT, readAt } from "./log_file.ts";

const MAX_MARK = 0x7fff_ffff;
const MARK_BYTES = 4;
/** Time between two looks at the names of the files, in ms: tasks of that time can be lost with a removed file. */
const LOOK_MS = 10;

export function randomMark(): number {
  const [random = 0] = crypto.getRandomValues(new Uint32Array(1));
  return 1 + random % MAX_MARK;
}

export function markAfter(mark: number): number {
  return mark >= MAX_MARK ? 1 : mark + 1;
}

/** Writes the mark. Inside or outside a transaction. */
export function setMark(db: DatabaseSync, mark: number, cacheKib: number): void {
  // The first statement also changes the size of the cache.
  db.exec(`PRAGMA default_cache_size = ${mark}; PRAGMA cache_size = ${-cacheKib}`);
}

/** The mark of the file; 0 for a file of a version without marks: SQLite then answers with a negative default. */
export function markOf(db: DatabaseSync): number {
  return Math.max(0, Number(db.prepare("PRAGMA default_cache_size").get()?.cache_size));
}

/** Whether a log with `marks`, in their order, belongs to a file with `mark`. */
export function belongs(mark: number, marks: readonly number[]): boolean {
  // A log without marks was written by a version that had none.
  const [first] = marks;
  return first === undefined || first === markAfter(mark) || marks.includes(mark);
}

/** Puts a mark into a piece of a file that begins at `at`. */
export function overwriteMark(bytes: Uint8Array, at: number, mark: number): void {
  const whole = new Uint8Array(MARK_BYTES);
  new DataView(whole.buffer).setUint32(0, mark);
  for (let i = 0; i < MARK_BYTES; i++) {
    const place = MARK_AT + i - at;
    if (place >= 0 && place < bytes.length) bytes[place] = whole[i]!;
  }
}

/** A file, and the name under which it was opened. */
interface NamedFile {
  readonly path: string;
  stat(): Deno.FileInfo;
}

interface FileGuardOptions {
  readonly path: string;
  /** The main file, open for as long as the store. */
  readonly raw: Deno.FsFile;
}

export class FileGuard {
  readonly #path: string;
  readonly #raw: Deno.FsFile;
  /** Marks that the main file can have now. */
  #marks: readonly number[] = [];
  #bytes = 0;
  #lookedAt = -Infinity;

  constructor({ path, raw }: FileGuardOptions) {
    this.#path = path;
    this.#raw = raw;
  }

  /** Call it once the file is open: it can have the mark that it has, or one of these. */
  begin(marks: readonly number[]): void {
    this.moved([...marks, this.#mark ?? 0]);
  }

  /** Call it once the log is moved into the main file, which now has one of these marks. */
  moved(marks: readonly number[]): void {
    this.#marks = marks;
    this.#bytes = this.#raw.statSync().size;
  }

  /** Throws a `FaultError` if new commits would be lost. `no log`: only the log has lost its name. */
  check(log: NamedFile): "no log" | "whole" {
    const now = performance.now();
    if (now - this.#lookedAt < LOOK_MS) return "whole";
    if (!this.#hasName(this.#path, this.#raw.statSync())) {
      throw new FaultError(
        "io",
        `${this.#path} was removed while the server uses it. ${this.#rescue}`,
      );
    }
    this.checkContent();
    if (!this.#hasName(log.path, log.stat())) return "no log";
    this.#lookedAt = now;
    return "whole";
  }

  /** Throws a `FaultError` if another program has written to the main file. */
  checkContent(): void {
    if (!this.isOverwritten) return;
    throw new FaultError(
      "io",
      `${this.#path} was overwritten by another program while the server uses it. Stop the server, then put the ` +
        `file that it shall use in its place, remove ${this.#path}-wal, and start it`,
    );
  }

  /** The name of the main file leads to it, but another program has written to it. */
  get isOverwritten(): boolean {
    if (this.#raw.statSync().size < this.#bytes) return true;
    const mark = this.#mark;
    return mark === undefined || !this.#marks.includes(mark);
  }

  /** The mark in the main file. */
  get #mark(): number | undefined {
    const bytes = readAt(this.#raw, MARK_AT, MARK_BYTES);
    return bytes.length < MARK_BYTES ? undefined : new DataView(bytes.buffer).getUint32(0);
  }

  /** Whether `path` leads to that file; false if nothing is there. */
  #hasName(path: string, { dev, ino }: Deno.FileInfo): boolean {
    const named = statOf(path);
    if (named === null) return false;
    // Windows has no such numbers, and does not replace a file that is open.
    if (ino === null || (named.ino === ino && named.dev === dev)) return true;
    throw new FaultError("io", `${path} was replaced while the server uses it. ${this.#rescue}`);
  }

  get #rescue(): string {
    return "Put it back; or save what the server still has (sd backup FILE), stop the server, put FILE in the place " +
      `of ${this.#path}, remove ${this.#path}-wal, and start it`;
  }
}

/** Closes a file that another program has overwritten. Without its name, SQLite moves no log into it. */
export function closeUnmoved(db: DatabaseSync, path: string): void {
  const other = `${path}.closing-${Deno.pid}`;
  try {
    Deno.renameSync(path, other);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return db.close();
  }
  try {
    db.close();
  } finally {
    Deno.renameSync(other, path);
  }
}

/** The identity of a file; none on a system that does not number its files. */
export function identityOf({ dev, ino, birthtime }: Deno.FileInfo): FileIdentity[] {
  return ino === null ? [] : [{ dev, ino, born: birthtime?.getTime() ?? 0 }];
}

function statOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    throw new FaultError("io", `cannot look at ${path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
