/**
 * Ends of tasks, until they may be told: once they are safe, and never of a task that was given up. Those that come of
 * something that nobody asked for, or that could not be told in time, are left for the janitor to tell.
 */

import { setImmediate } from "node:timers";
import { isFinal } from "../../../protocol/task.ts";
import type { FinishedTask } from "../../task/finished_task.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { Journal } from "./journal.ts";

export class UntoldEnds {
  readonly #journal: Pick<Journal, "committed" | "trouble">;
  /** Serial numbers of tasks that had ended when they were given up. */
  readonly #givenUp = new Set<number>();
  #left: FinishedTask[] = [];

  constructor(journal: Pick<Journal, "committed" | "trouble">) {
    this.#journal = journal;
  }

  /** Where to put ends that the janitor is to tell. */
  get left(): FinishedTask[] {
    return this.#left;
  }

  /** Takes what was left. */
  take(): FinishedTask[] {
    const left = this.#left;
    this.#left = [];
    return left;
  }

  giveUp(task: LiveTask): void {
    if (isFinal(task.state.status)) this.#givenUp.add(task.serial);
  }

  /** Commits succeed again: what was given up is soon past. */
  troubleIsOver(): void {
    // By then, everyone who waited for that has looked.
    setImmediate(() => {
      this.#left = this.kept(this.#left);
      this.#givenUp.clear();
    });
  }

  /** Those of `finished` that may be told, once they are safe. */
  async whenCommitted(finished: FinishedTask[]): Promise<FinishedTask[]> {
    if (finished.length === 0) return finished;
    await this.#journal.committed();
    return this.kept(finished);
  }

  /** The same for a loop, which must go on while nothing can be committed: they are left then. */
  async whenCommittable(finished: FinishedTask[]): Promise<FinishedTask[]> {
    if (!this.#journal.trouble) return await this.whenCommitted(finished);
    this.#left.push(...finished);
    return [];
  }

  /** Without those that were given up. */
  kept(finished: readonly FinishedTask[]): FinishedTask[] {
    return finished.filter(({ serial }) => !this.#givenUp.has(serial));
  }
}
