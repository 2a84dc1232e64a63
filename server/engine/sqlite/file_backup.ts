/**
 * Copies of the file while the server goes on: what is committed is moved into the main file, which then
 * nothing touches until the copy is made; what is committed meanwhile lies in the write-ahead log.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Backup } from "../engine.ts";
import type { Store } from "./store.ts";

const CHUNK_BYTES = 256 * 1024;

export class FileBackup {
  readonly #store: Store;
  /**
   * Never closed before the store is: on POSIX systems, closing any handle on a file takes away all locks
   * that this process has on it, those of SQLite too.
   */
  #file: Deno.FsFile | undefined;
  #isUnderWay = false;

  constructor(store: Store) {
    this.#store = store;
  }

  async begin(): Promise<Backup> {
    if (this.#isUnderWay) throw new SdError("conflict", "another backup is under way");
    this.#isUnderWay = true;
    try {
      const { path, bytes } = await this.#store.call("backupBegin", null);
      this.#file ??= await Deno.open(path);
      const file = this.#file;
      return { bytes, chunks: () => read(file, bytes), end: () => this.#end() };
    } catch (error) {
      this.#isUnderWay = false;
      throw error;
    }
  }

  /** After the store is closed. */
  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  async #end(): Promise<void> {
    if (!this.#isUnderWay) return;
    this.#isUnderWay = false;
    await this.#store.call("backupEnd", null);
  }
}

async function* read(file: Deno.FsFile, bytes: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(CHUNK_BYTES);
  for (let offset = 0; offset < bytes;) {
    await file.seek(offset, Deno.SeekMode.Start);
    const count = await file.read(buffer.subarray(0, Math.min(CHUNK_BYTES, bytes - offset)));
    if (count === null) throw new Error(`the file ends at byte ${offset} of ${bytes}`);
    offset += count;
    yield buffer.slice(0, count);
  }
}
