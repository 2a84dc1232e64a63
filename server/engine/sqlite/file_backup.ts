/**
 * Copies of the file while the server goes on: what is committed is moved into the main file, which then
 * nothing touches until the copy is made; what is committed meanwhile lies in the write-ahead log.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Backup } from "../engine.ts";
import type { Store } from "./store.ts";

/** Other requests have their turn between two of these. */
const CHUNK_BYTES = 256 * 1024;

export class FileBackup {
  readonly #store: Store;
  #isUnderWay = false;

  constructor(store: Store) {
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
