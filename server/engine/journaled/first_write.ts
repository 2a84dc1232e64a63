/** The new tasks of one `enqueue`, until each of them is on disk for the first time or was given up. */

import type { SdError } from "../../../protocol/errors.ts";
import type { FirstWriteListener, LiveTask } from "../live/live_task.ts";

export class FirstWrite implements FirstWriteListener {
  readonly #done = Promise.withResolvers<void>();
  readonly #givenUp = new Map<LiveTask, SdError>();
  #left = 0;

  add(task: LiveTask): void {
    task.firstWrite = this;
    this.#left++;
  }

  /** Resolves when nothing of it is open; at once when it is empty. */
  get done(): Promise<void> {
    return this.#left === 0 ? Promise.resolve() : this.#done.promise;
  }

  /** Why `task` was given up. */
  reasonOf(task: LiveTask | undefined): SdError | undefined {
    return task && this.#givenUp.get(task);
  }

  stored(task: LiveTask): void {
    task.firstWrite = undefined;
    if (--this.#left === 0) this.#done.resolve();
  }

  givenUp(task: LiveTask, reason: SdError): void {
    this.#givenUp.set(task, reason);
    this.stored(task);
  }
}
