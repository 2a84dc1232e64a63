/**
 * Copies the file while the server runs. All commits are moved into the main file, which then stays as it is until the
 * copy is made; new commits stay in the write-ahead log.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Backup } from "../engine.ts";
import type { Store } from "./store.ts";

/** Bytes of one request; other requests are answered between two of them. */
const CHUNK_BYTES = 256 * 1024;

export class FileBackup {
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
