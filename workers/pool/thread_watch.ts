/**
 * The watch over workers that hold tasks. While the pool holds any, it looks at each worker every 20 ms, and does what
 * no event would trigger:
 *
 *     a task runs long            The tasks behind it are taken back.
 *     a task reached its limit    It is stopped.
 *     a task takes much memory    It is stopped, or named as a suspect.
 *     a task reported progress    The server gets it, up to ten times a second.
 *     a worker begins nothing     The process is replaced.
 *
 * `Pool` starts it and acts for it. `LifeWatch` looks after workers that hold no task.
 */

import { awake } from "../../net/awake_clock.ts";
import { leaseOf, type PoolReport, type StopReason } from "../../protocol/work_message.ts";
import type { MemoryWatch } from "./memory_watch.ts";
import { microsOf, patienceOf } from "./pace.ts";
import type { ReportSink } from "./ring_intake.ts";
import type { Stopper } from "./stopper.ts";
import type { CurrentTask, Thread } from "./thread.ts";

const LOOK_MS = 20;
/** Longest time in which a worker begins a task that was posted to it, in ms. */
const SILENT_MS = 1000;
/** Shortest time between two progress reports of one task, in ms. */
const REPORT_MS = 100;

/** The pool, as far as the watch needs it. */
export interface WatchedPool {
  readonly threads: readonly Thread[];
  /** Number of tasks that the pool holds. */
  readonly held: number;
  readonly isClosed: boolean;
  takeBack(thread: Thread): void;
  stopRunning(thread: Thread, lease: number, reason: StopReason): void;
  /** A worker begins nothing any more: the process must end. */
  abandon(thread: Thread): void;
  replace(thread: Thread): void;
  /** The process took too much memory while this task ran. */
  suspect(lease: number): void;
  /** All workers were looked at; `micros` are their run times, with the running task included. */
  looked(micros: readonly number[], now: number): void;
}

interface ThreadWatchMeans {
  readonly sink: ReportSink;
  readonly stopper: Stopper;
  readonly memory: MemoryWatch<Thread>;
}

export class ThreadWatch {
  readonly #pool: WatchedPool;
  readonly #stopper: Stopper;
  readonly #memory: MemoryWatch<Thread>;
  readonly #progress: ProgressReporter;
  /** The task that ran at the last look, and `asleepMs` before it began. */
  readonly #seen = new WeakMap<Thread, { readonly seq: number; readonly asleepMs: number }>();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** Time for which this process had been stopped, in all, at the last look. */
  #asleepMs = 0;
  /** How late the last look was, in ms. */
  #lateMs = 0;

  constructor(pool: WatchedPool, { sink, stopper, memory }: ThreadWatchMeans) {
    this.#pool = pool;
    this.#stopper = stopper;
    this.#memory = memory;
    this.#progress = new ProgressReporter(sink);
  }

  /** Tasks are about to begin. */
  start(): void {
    if (this.#timer !== undefined) return;
    this.#memory.begin(this.#pool.threads, awake.now());
    this.#asleepMs = awake.asleepMs;
    this.#lateMs = 0;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** The running task of `thread` reported `note`. */
  noted(thread: Thread, note: string): void {
    this.#progress.noted(thread, note);
  }

  /** There will be another server: it gets the progress of each running task. */
  reportAgain(): void {
    for (const thread of this.#pool.threads) this.#progress.repeat(thread);
  }

  #look(): void {
    if (this.#pool.held === 0) return this.stop();
    const now = awake.now();
    if (this.#isLate()) return;
    // A copy: a look can replace a worker.
    const micros = [...this.#pool.threads].map((thread) => this.#lookAt(thread, now));
    this.#asleepMs = awake.asleepMs;
    if (!this.#pool.isClosed) this.#weigh(now);
    this.#pool.looked(micros, now);
  }

  /** This process has just continued after a stop: its workers must first show that they did too. */
  #isLate(): boolean {
    const wasLate = this.#lateMs > 0;
    this.#lateMs = awake.asleepMs - this.#asleepMs;
    return this.#lateMs > 0 && !wasLate;
  }

  /** Returns the run time of the tasks of `thread` in µs, with the running task included. */
  #lookAt(thread: Thread, now: number): number {
    thread.collectLog();
    const task = thread.current();
    if (this.#stopper.isStopping(thread)) this.#stopper.watch(thread, now);
    else if (task) this.#lookAtTask(thread, task, now);
    else if (thread.isSilent(SILENT_MS)) this.#pool.abandon(thread);
    return Math.max(microsOf(thread), (task?.elapsedMs ?? 0) * 1000);
  }

  #lookAtTask(thread: Thread, task: CurrentTask, now: number): void {
    if (task.elapsedMs >= patienceOf(microsOf(thread))) {
      thread.collectBefore(task.seq);
      this.#pool.takeBack(thread);
    }
    this.#progress.look(thread, { task, now });
    // Only a task that the last look saw as well: among quick tasks the start time is not exact.
    const seen = this.#seen.get(thread);
    if (seen?.seq !== task.seq) {
      this.#seen.set(thread, { seq: task.seq, asleepMs: this.#asleepMs });
      return;
    }
    // While the process is stopped, its tasks do not run either.
    const elapsedMs = task.elapsedMs - (awake.asleepMs - seen.asleepMs);
    if (task.timeoutMs > 0 && elapsedMs >= task.timeoutMs) {
      this.#pool.stopRunning(thread, leaseOf(task.line), "timeout");
    }
  }

  /** Stops tasks that take more memory than their share, and replaces workers that have too little left. */
  #weigh(now: number): void {
    const pool = this.#pool;
    const verdict = this.#memory.look(pool.threads, now);
    for (const thread of [...pool.threads]) {
      if (!this.#memory.isSpent(thread)) continue;
      pool.takeBack(thread);
      if (thread.posted.length === 0) pool.replace(thread);
    }
    // The memory of a task that is being stopped must not count against another task.
    if (!verdict || pool.threads.some((thread) => this.#stopper.isStopping(thread))) return;
    for (const { thread, line } of verdict.guilty) {
      pool.stopRunning(thread, leaseOf(line), "memory");
    }
    for (const { line } of verdict.suspects) pool.suspect(leaseOf(line));
  }
}

interface ReportedProgress {
  seq: number;
  fraction: number;
  note: string | undefined;
  changed: boolean;
  at: number;
}

/** Reports the progress of running tasks to the server: changes only, and at most one each `REPORT_MS`. */
class ProgressReporter {
  readonly #sink: ReportSink;
  readonly #reported = new WeakMap<Thread, ReportedProgress>();

  constructor(sink: ReportSink) {
    this.#sink = sink;
  }

  noted(thread: Thread, note: string): void {
    const task = thread.current();
    if (!task) return;
    const reported = this.#of(thread, task);
    reported.changed ||= reported.note !== note;
    reported.note = note;
  }

  /** Reports what the running task of `thread` has not reported yet. */
  look(thread: Thread, { task, now }: { task: CurrentTask; now: number }): void {
    const fraction = thread.row.progress;
    if (fraction === undefined) return;
    const reported = this.#of(thread, task);
    reported.changed ||= reported.fraction !== fraction;
    reported.fraction = fraction;
    if (!reported.changed || now - reported.at < REPORT_MS) return;
    reported.changed = false;
    reported.at = now;
    const { note } = reported;
    const report: PoolReport = {
      lease: leaseOf(task.line),
      progress: note === undefined ? { fraction } : { fraction, note },
    };
    this.#sink.line(JSON.stringify(report));
  }

  repeat(thread: Thread): void {
    const reported = this.#reported.get(thread);
    if (reported) reported.changed = true;
  }

  #of(thread: Thread, { seq }: CurrentTask): ReportedProgress {
    let reported = this.#reported.get(thread);
    if (reported?.seq !== seq) {
      reported = { seq, fraction: -1, note: undefined, changed: false, at: -REPORT_MS };
      this.#reported.set(thread, reported);
    }
    return reported;
  }
}
