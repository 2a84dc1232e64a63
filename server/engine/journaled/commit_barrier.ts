/**
 * The commit barrier: no reply reports a change before its commit. A submit waits for the first write of its tasks, and
 * a read waits for every change and every submit before it. The journaled engine asks it in each request; the ends of
 * tasks pass the same barrier in `journal.ts`.
 */

import { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import type { Enqueued } from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import type { Journal } from "./journal.ts";
import { committedRecord, type FirstWriteListener, rowOf } from "./rows.ts";

/** The new tasks of one submit, until each is committed for the first time or is rolled back. */
export class FirstWrite implements FirstWriteListener {
  readonly #done = Promise.withResolvers<void>();
  readonly #rolledBack = new Map<LiveTask, SdError>();
  #left = 0;

  add(task: LiveTask): void {
    rowOf(task).firstWrite = this;
    this.#left++;
  }

  /** Resolves when every task is committed or rolled back; at once if there are none. */
  get done(): Promise<void> {
    return this.#left === 0 ? Promise.resolve() : this.#done.promise;
  }

  /** The reply for `task`: `uncommitted` with the reason if it was rolled back. */
  replyOf(task: LiveTask | undefined, enqueued: Enqueued): Enqueued {
    const error = task && this.#rolledBack.get(task);
    return error ? notCommitted(enqueued, error) : enqueued;
  }

  stored(task: LiveTask): void {
    rowOf(task).firstWrite = undefined;
    if (--this.#left === 0) this.#done.resolve();
  }

  rolledBack(task: LiveTask, reason: SdError): void {
    this.#rolledBack.set(task, reason);
    this.stored(task);
  }
}

export class CommitBarrier {
  readonly #journal: Journal;
  readonly #live: LiveTasks;
  /** Submits that have begun and still look for their ids on disk. */
  readonly #lookingUp = new Set<Promise<unknown>>();

  constructor(journal: Journal, live: LiveTasks) {
    this.#journal = journal;
    this.#live = live;
  }

  /** Runs `submit`. Reads that start before it ends wait for it, and so see its tasks. */
  async during<T>(submit: Promise<T>): Promise<T> {
    this.#lookingUp.add(submit);
    try {
      return await submit;
    } finally {
      this.#lookingUp.delete(submit);
    }
  }

  /** Resolves when every change so far is committed, or its commit has failed: then it is reported nowhere yet. */
  async passed(): Promise<void> {
    const { isIdle, trouble } = this.#journal;
    if (!isIdle && !trouble) {
      this.#journal.hurry();
      await this.#failure();
    }
    if (this.#lookingUp.size > 0) await Promise.allSettled(this.#lookingUp);
  }

  /** The reply to a submit of an existing task: its committed state, or `uncommitted` if the task was never committed. */
  async replyOfExisting(task: LiveTask, enqueued: Enqueued): Promise<Enqueued> {
    if (!this.#live.index.get(task.id)) return enqueued;
    this.#journal.hurry();
    const error = await this.#failure();
    if (!error) return enqueued;
    const record = committedRecord(task);
    if (!record) return notCommitted(enqueued, error);
    // Its end is reported once it is committed.
    const { status } = record;
    return { ...enqueued, status, finished: isFinal(status) ? enqueued.finished : undefined };
  }

  /** Why the commit of the changes so far failed; `undefined` if it did not. */
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

function notCommitted(enqueued: Enqueued, error: SdError): Enqueued {
  return { ...enqueued, outcome: "uncommitted", finished: undefined, error };
}
