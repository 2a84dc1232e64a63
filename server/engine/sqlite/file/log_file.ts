/**
 * The write-ahead log beside the file of a store: where the committed part of it ends, and how to cut off the rest.
 *
 * A commit that fails in its sync may stand whole in the log, and a server that opens the file plays it back. So the
 * store thread looks up the end of the log after each commit, and cuts the log there after each failure.
 *
 * Invariant: before a commit begins, no frame behind the end has the salts of the log's header. Frames of earlier logs,
 * with other salts, may lie there. (Format: sqlite.org/fileformat2.html#walformat)
 */

import { checkWal, FRAME_HEADER_BYTES, LOG_HEADER_BYTES } from "./wal_check.ts";

/** Of the header, and of each frame. */
const SALT_BYTES = 8;
const SALTS_IN_HEADER_AT = 16;
const SALTS_IN_FRAME_AT = 8;

export interface LogFileOptions {
  readonly path: string;
  readonly pageBytes: number;
}

export class LogFile {
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #frameBytes: number;
  readonly #buffer = new Uint8Array(SALT_BYTES);
  /** Of the log that was last seen; `null` of an empty file. */
  #salts: bigint | null = null;
  #frames = 0;
  /** A cut has shortened the file, and is not on the disk yet. */
  #isUnsynced = false;

  /** Opens the log of a connection that was just opened: SQLite has played back the sound part of it. */
  constructor({ path, pageBytes }: LogFileOptions) {
    this.path = path;
    this.#frameBytes = FRAME_HEADER_BYTES + pageBytes;
    this.#file = Deno.openSync(path, { read: true, write: true });
    try {
      const { soundBytes } = checkWal(this.#file, { knownPages: 0, pageBytes });
      this.#salts = soundBytes === 0 ? null : this.#saltsAt(SALTS_IN_HEADER_AT);
      this.#frames = Math.floor(Math.max(0, soundBytes - LOG_HEADER_BYTES) / this.#frameBytes);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Frames up to the end of the last commit. */
  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#frames === 0 ? 0 : LOG_HEADER_BYTES + this.#frames * this.#frameBytes;
  }

  stat(): Deno.FileInfo {
    return this.#file.statSync();
  }

  /** Looks up the end after a commit; true if the log has changed since the last look. */
  note(): boolean {
    const salts = this.#saltsAt(SALTS_IN_HEADER_AT);
    const before = this.#frames;
    const isNew = salts !== this.#salts;
    if (isNew) this.#frames = 0;
    this.#salts = salts;
    if (salts !== null) this.#frames = this.#lastFrame(salts, this.#frames);
    return isNew || this.#frames !== before;
  }

  /**
   * Cuts off what a failed commit has left behind the end, and waits for the disk. Throws what the system says; call
   * it again then.
   */
  cut(): void {
    // The failed commit may have begun a new log: all that was committed is in the main file then.
    const end = this.#saltsAt(SALTS_IN_HEADER_AT) === this.#salts ? this.bytes : 0;
    const { size } = this.#file.statSync();
    if (size <= end && !this.#isUnsynced) return;
    // A sync that failed may have forgotten the cut: a change of the length makes the system write it again.
    if (this.#isUnsynced) this.#file.truncateSync(end + 1);
    this.#isUnsynced = true;
    this.#file.truncateSync(end);
    this.#file.syncSync();
    this.#isUnsynced = false;
  }

  close(): void {
    this.#file.close();
  }

  /** The number of the last frame with these salts, where the first `known` have them. */
  #lastFrame(salts: bigint, known: number): number {
    let low = known;
    let step = 1;
    while (this.#saltsOfFrame(low + step) === salts) {
      low += step;
      step *= 2;
    }
    // Frame `low` has them, frame `low + step` has not.
    for (; step > 1;) {
      const half = step >> 1;
      if (this.#saltsOfFrame(low + half) === salts) {
        low += half;
        step -= half;
      } else step = half;
    }
    return low;
  }

  /** Of the frame with this number, counted from 1. */
  #saltsOfFrame(frame: number): bigint | null {
    const at = LOG_HEADER_BYTES + (frame - 1) * this.#frameBytes;
    return this.#saltsAt(at + SALTS_IN_FRAME_AT);
  }

  #saltsAt(at: number): bigint | null {
    this.#file.seekSync(at, Deno.SeekMode.Start);
    for (let filled = 0; filled < SALT_BYTES;) {
      const read = this.#file.readSync(this.#buffer.subarray(filled));
      if (read === null || read === 0) return null;
      filled += read;
    }
    return new DataView(this.#buffer.buffer).getBigUint64(0);
  }
}
