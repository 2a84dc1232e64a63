/**
 * A copy of the main file for a backup, while the main file does not change. If the reader is slow, the log grows; once it
 * is too large, the unread rest is copied to a file of its own, so that the log can be moved again.
 */

import { overwriteMark, randomMark } from "./file_guard.ts";
import { FaultError, faultOf } from "./sqlite_fault.ts";
import { readAt } from "./log_file.ts";

/** Bytes that are copied between two commits. */
const SLICE_BYTES = 4 * 1024 * 1024;

export class MainCopy {
  readonly bytes: number;
  readonly #raw: Deno.FsFile;
  readonly #path: string;
  /** So a server on the copy does not take the log of this one for its own. */
  readonly #mark = randomMark();
  /** The end of the part that was read. */
  #at = 0;
  #rest: { readonly file: Deno.FsFile; readonly from: number; to: number } | undefined;
  #broken: FaultError | undefined;

  constructor({ raw, path }: { readonly raw: Deno.FsFile; readonly path: string }) {
    this.#raw = raw;
    this.#path = path;
    this.bytes = raw.statSync().size;
  }

  /** Whether the main file must stay as it is. */
  get holdsMain(): boolean {
    return this.#broken === undefined && !(this.#rest && this.#rest.to === this.bytes);
  }

  read(at: number, bytes: number): Uint8Array {
    if (this.#broken) throw this.#broken;
    const rest = this.#rest;
    if (rest && at < rest.from) throw new FaultError("io", "a backup is read once, from its start");
    const isSaved = rest !== undefined && (at + bytes <= rest.to || rest.to === this.bytes);
    const piece = isSaved
      ? readAt(rest.file, at - rest.from, bytes)
      : readAt(this.#raw, at, Math.max(0, Math.min(bytes, this.bytes - at)));
    overwriteMark(piece, at, this.#mark);
    this.#at = Math.max(this.#at, at + piece.length);
    return piece;
  }

  /** Copies a slice of the unread rest. If there is no room for it, the copy ends, and its reader gets the reason. */
  saveSlice(): void {
    if (!this.holdsMain) return;
    try {
      const rest = this.#rest ??= { file: openNameless(this.#path), from: this.#at, to: this.#at };
      const slice = readAt(this.#raw, rest.to, Math.min(SLICE_BYTES, this.bytes - rest.to));
      rest.file.seekSync(rest.to - rest.from, Deno.SeekMode.Start);
      for (let left = slice; left.length > 0;) left = left.subarray(rest.file.writeSync(left));
      rest.to += slice.length;
    } catch (error) {
      this.#broken = new FaultError(
        "io",
        `the backup was ended: it was read so slowly that ${this.#path}-wal has grown large, and the rest of it ` +
          `cannot be set aside: ${
            (error as Error).message
          }. Make room on that disk, or read it faster`,
        { cause: faultOf(error) },
      );
      this.close();
    }
  }

  close(): void {
    this.#rest?.file.close();
    this.#rest = undefined;
  }
}

/** A file beside `path` that disappears with the process, even if that is killed. */
function openNameless(path: string): Deno.FsFile {
  const name = `${path}.new-${Deno.pid}-${crypto.randomUUID()}`;
  const file = Deno.openSync(name, { createNew: true, read: true, write: true, mode: 0o600 });
  try {
    Deno.removeSync(name);
  } catch (error) {
    file.close();
    throw error;
  }
  return file;
}
