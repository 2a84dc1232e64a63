/** Drops records of final tasks from the file, keeps the counts in step with it, and knows when nothing can go. */

import { DEFAULT_RULES } from "../../task/new_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { type Store, StoreError } from "./store.ts";
import { STORED_STATUSES, type Swept } from "./file/store_message.ts";

export interface FileSweeperOptions {
  readonly store: Store;
  readonly live: LiveTasks;
  /** Records of final tasks; the oldest go first. */
  readonly maxKept: number;
  /** Bytes of the file in use, above which final tasks go, the oldest first. */
  readonly maxBytes: number;
  /** What an operator has to know. */
  readonly report: (message: string) => void;
}

/** Rows that are looked at before others have their turn. */
const SWEEP_ROWS = 5000;

export class FileSweeper {
  readonly #options: FileSweeperOptions;
  #isFull = false;
  /** The version of the kin that the store thread knows: there may be many, and most sweeps find nothing new. */
  #knownKin = -1;
  /** Why the last sweep failed; also how a server without work notices that it could keep nothing. */
  #fault: string | undefined;

  constructor(options: FileSweeperOptions) {
    this.#options = options;
  }

  /** Open tasks alone are more than the file may hold. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** How many records were dropped, and whether there is more to do at once. */
  async sweep(now: number): Promise<{ removed: number; more: boolean }> {
    const swept = await this.#sweep(now);
    if (!swept) return { removed: 0, more: false };
    const { removed, used, more } = swept;
    this.#isFull = used > this.#options.maxBytes && !more;
    let count = 0;
    removed.forEach((rows, code) => {
      const status = STORED_STATUSES[code];
      if (status === undefined || status === "waiting") return;
      this.#options.live.counts[status] -= rows;
      count += rows;
    });
    return { removed: count, more };
  }

  /** Nothing while there is no room on the disk: to drop something takes some. */
  async #sweep(now: number): Promise<Swept | undefined> {
    const { store, live, maxKept, maxBytes, report } = this.#options;
    const { version } = live.kin;
    try {
      const swept = await store.call("sweep", {
        now,
        keepMs: DEFAULT_RULES.keepMs,
        maxKept,
        maxBytes,
        held: version === this.#knownKin ? null : parentsOf(live),
        rows: SWEEP_ROWS,
      });
      this.#fault = undefined;
      this.#knownKin = version;
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

/** The serial numbers of the tasks that open ones come after. */
function parentsOf({ kin }: LiveTasks): number[] {
  const held = new Set<number>();
  for (const { parents = [] } of kin.children) for (const ord of parents) held.add(ord);
  return [...held];
}
