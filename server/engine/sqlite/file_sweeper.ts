/**
 * Drops records of final tasks from the file, so that neither their number nor the file grows beyond its limit. A sweep
 * looks at a bounded number of rows; the store thread goes on from there with the next one.
 */

import { DEFAULT_RULES } from "../../task/new_task.ts";
import { type HeldRecords, type RecordSweeper, StoreError } from "../journaled/task_store.ts";
import type { SweepResult } from "./file/store_message.ts";
import type { Store } from "./store.ts";

export interface FileSweeperOptions {
  readonly store: Pick<Store, "call">;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept: number;
  /** Bytes of the file in use, above which final tasks are dropped, the oldest first. */
  readonly maxBytes: number;
  /** Called with messages for the operator. */
  readonly report: (message: string) => void;
}

/** Most rows of one sweep: other requests wait meanwhile. */
const SWEEP_ROWS = 5000;

export class FileSweeper implements RecordSweeper {
  readonly #options: FileSweeperOptions;
  #isFull = false;
  /** The version of the held records that the store thread knows. There can be many, so they are sent only if they changed. */
  #knownVersion = -1;
  /** Why the last sweep failed. */
  #fault: string | undefined;

  constructor(options: FileSweeperOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  async sweep(now: number, held: HeldRecords): ReturnType<RecordSweeper["sweep"]> {
    const swept = await this.#sweep(now, held);
    if (!swept) return { removed: [], more: false };
    const { removed, used, more } = swept;
    this.#isFull = used > this.#options.maxBytes && !more;
    return { removed, more };
  }

  /** Resolves with nothing while the disk has no room: a sweep takes some itself. */
  async #sweep(now: number, { version, ords }: HeldRecords): Promise<SweepResult | undefined> {
    const { store, maxKept, maxBytes, report } = this.#options;
    try {
      const swept = await store.call("sweep", {
        now,
        keepMs: DEFAULT_RULES.keepMs,
        maxKept,
        maxBytes,
        held: version === this.#knownVersion ? null : ords(),
        rows: SWEEP_ROWS,
      });
      this.#fault = undefined;
      this.#knownVersion = version;
      return swept;
    } catch (error) {
      const isPassing = error instanceof StoreError &&
        (error.fault === "full" || error.fault === "io");
      if (!isPassing) throw error;
      if (error.message !== this.#fault) report(`old records cannot be dropped: ${error.message}`);
      this.#fault = error.message;
      return undefined;
    }
  }
}
