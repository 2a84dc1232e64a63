/** Waits for what was begun before to be on disk: nothing is told of a task that a power failure could undo. */

import { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import type { Enqueued } from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import type { Journal } from "./journal.ts";
import { safeRecord } from "./rows.ts";

export class Safety {
  readonly #journal: Journal;
  readonly #live: LiveTasks;
  /** Submits that have begun, and first had to be looked up. */
  readonly #entering = new Set<Promise<unknown>>();

  constructor(journal: Journal, live: LiveTasks) {
    this.#journal = journal;
    this.#live = live;
  }

  /** Whoever asks while `submit` is under way, asked after it. */
  async entering<T>(submit: Promise<T>): Promise<T> {
    this.#entering.add(submit);
    try {
      return await submit;
    } finally {
      this.#entering.delete(submit);
    }
  }

  /** Makes everything safe that is not, if that is possible now. */
  async whenSafe(): Promise<void> {
    const { isIdle, trouble } = this.#journal;
    if (!isIdle && !trouble) {
      this.#journal.hurry();
      // Told elsewhere; what is not safe is not told.
      await this.#failure();
    }
    if (this.#entering.size > 0) await Promise.allSettled(this.#entering);
  }

  /** What may be told of a submit whose task was there already: as it is on disk, and that it was not kept only where it is not. */
  async ofKnown(task: LiveTask, enqueued: Enqueued): Promise<Enqueued> {
    if (!this.#live.index.get(task.id)) return enqueued;
    this.#journal.hurry();
    const error = await this.#failure();
    if (!error) return enqueued;
    const record = safeRecord(task);
    if (!record) return notKept(enqueued, error);
    // Its end is told to whoever waits for it once that is safe.
    const { status } = record;
    return { ...enqueued, status, finished: isFinal(status) ? enqueued.finished : undefined };
  }

  /** Why what was there to commit could not be. */
  async #failure(): Promise<SdError | undefined> {
    try {
      await this.#journal.committedNow();
      return undefined;
    } catch (error) {
      if (error instanceof SdError) return error;
      throw error;
    }
  }
}

export function notKept(enqueued: Enqueued, error: SdError): Enqueued {
  return { ...enqueued, outcome: "unsafe", finished: undefined, error };
}
