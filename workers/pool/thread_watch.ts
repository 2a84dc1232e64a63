/**
 * Looks at one worker now and then, and does what no event would tell: tasks that wait behind a long
 * one are taken back, a task that reached its time limit is stopped, a worker that begins nothing any
 * more is given up.
 */

import { awake } from "../../net/awake_clock.ts";
import { leaseOf, type StopReason } from "../../protocol/work_message.ts";
import { patienceOf, UNKNOWN_MICROS } from "./pace.ts";
import type { ProgressReporter } from "./progress.ts";
import type { Stopper } from "./stopper.ts";
import type { CurrentTask, Thread } from "./thread.ts";

/** A worker that does not begin what was posted to it in this time never will. */
const SILENT_MS = 1000;

/** What the watch asks of the pool. */
export interface WatchedPool {
  takeBack(thread: Thread): void;
  stopRunning(thread: Thread, lease: number, reason: StopReason): void;
  giveUp(thread: Thread): void;
}

/** Run time of a task on `thread` in µs, as far as is known. */
export function microsOf(thread: Thread): number {
  return thread.row.micros || UNKNOWN_MICROS;
}

export class ThreadWatch {
  readonly #pool: WatchedPool;
  readonly #stopper: Stopper;
  readonly #progress: ProgressReporter;
  /** The task that was running at the last look, and `asleepMs` before it began. */
  readonly #seen = new WeakMap<Thread, { readonly seq: number; readonly asleepMs: number }>();
  /** For how long this process had not run, in all, at the last look. */
  #asleepMs = 0;

  constructor(
    pool: WatchedPool,
    means: { stopper: Stopper; progress: ProgressReporter },
  ) {
    this.#pool = pool;
    this.#stopper = means.stopper;
    this.#progress = means.progress;
  }

  get asleepMs(): number {
    return this.#asleepMs;
  }

  /** All threads were looked at, or there is nothing to see before now. */
  looked(asleepMs: number): void {
    this.#asleepMs = asleepMs;
  }

  /** Looks at `thread`; returns the run time in µs to reckon with, the running task's included. */
  look(thread: Thread, now: number): number {
    thread.collectLog();
    const task = thread.current();
    if (this.#stopper.isStopping(thread)) this.#stopper.watch(thread, now);
    else if (task) this.#lookAt(thread, task, now);
    else if (thread.isSilent(SILENT_MS)) this.#pool.giveUp(thread);
    return Math.max(microsOf(thread), (task?.elapsedMs ?? 0) * 1000);
  }

  #lookAt(thread: Thread, task: CurrentTask, now: number): void {
    if (task.elapsedMs >= patienceOf(microsOf(thread))) {
      thread.collectBefore(task.seq);
      this.#pool.takeBack(thread);
    }
    this.#progress.look(thread, { task, now });
    // Only one that the look before saw as well: among quick tasks the start is not exact.
    const seen = this.#seen.get(thread);
    if (seen?.seq !== task.seq) {
      this.#seen.set(thread, { seq: task.seq, asleepMs: this.#asleepMs });
      return;
    }
    // In a process that is stopped, a task does not run either.
    const elapsedMs = task.elapsedMs - (awake.asleepMs - seen.asleepMs);
    if (task.timeoutMs > 0 && elapsedMs >= task.timeoutMs) {
      this.#pool.stopRunning(thread, leaseOf(task.line), "timeout");
    }
  }
}
