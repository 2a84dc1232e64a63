/**
 * The workers of one process, and which of them runs which task. Takes leased-task lines from the
 * link, hands them to workers in batches, puts results and reports into the sink.
 *
 * Invariant: a leased task is in exactly one place, the backlog or one thread's `posted`, until its
 * result or report is in the sink. Everything is driven by what happens; the watch, which runs only
 * while tasks are held, looks after those that take long.
 */

import { MAX_ERROR_MESSAGE_CHARS } from "../protocol/limits.ts";
import { leaseOf, type PoolReport, type StopReason } from "../protocol/work_message.ts";
import { Backlog } from "./backlog.ts";
import {
  creditFor,
  FETCH_MICROS,
  isWorthTelling,
  loadOf,
  shareOf,
  UNKNOWN_MICROS,
  WAKE_MICROS,
} from "./pace.ts";
import { ProgressReporter } from "./progress.ts";
import { Stopper } from "./stopper.ts";
import { TaskTable } from "./task_table.ts";
import { newBuiltinWorker, type ResultSink, Thread, type ThreadListener } from "./thread.ts";
import { microsOf, ThreadWatch, type WatchedPool } from "./thread_watch.ts";

const WATCH_MS = 20;
/** Tasks that would wait longer than this go back to the server. */
const MAX_WAIT_MICROS = 25_000;

export interface PoolListener {
  /** This task does not stop; the process must end for it. */
  stuck(lease: number, reason: StopReason): void;
  /** A worker could not even load. */
  broken(message: string): void;
  /** Task code has printed something when no task ran. */
  printed(text: string): void;
}

export interface PoolOptions {
  readonly workers: number;
  readonly sink: ResultSink;
  readonly listener: PoolListener;
  readonly newWorker?: () => Worker;
}

export class Pool implements ThreadListener, WatchedPool {
  readonly #options: PoolOptions;
  readonly #table: TaskTable;
  readonly #sink: ResultSink;
  readonly #stopper: Stopper;
  readonly #progress: ProgressReporter;
  readonly #watch: ThreadWatch;
  readonly #threads: Thread[] = [];
  readonly #backlog = new Backlog();
  #timer: ReturnType<typeof setInterval> | undefined;
  /** What the server knows of how much the pool will hold. */
  #credit: number;
  #closed = false;

  constructor(options: PoolOptions) {
    const { workers, sink, listener } = options;
    this.#options = options;
    this.#table = new TaskTable(workers);
    this.#sink = sink;
    this.#progress = new ProgressReporter(sink);
    this.#stopper = new Stopper(sink, {
      closed: (thread, line) => this.replace(thread, line),
      stuck: (lease, reason) => listener.stuck(lease, reason),
    });
    this.#watch = new ThreadWatch(this, { stopper: this.#stopper, progress: this.#progress });
    this.#credit = creditFor(Array(workers).fill(UNKNOWN_MICROS));
  }

  /** Starts the workers; tasks may come before they have loaded. */
  start(): void {
    while (this.#threads.length < this.#options.workers) {
      this.#threads.push(this.#newThread(this.#threads.length));
    }
  }

  /** Ends the workers. Only a process's end stops one that spins. */
  stop(): void {
    this.#closed = true;
    this.#stopWatch();
    for (const thread of this.#threads.splice(0)) thread.end();
  }

  /** Tasks that the pool will hold at most. */
  get credit(): number {
    return this.#credit;
  }

  /** Tasks that the pool holds. */
  get held(): number {
    return this.#threads.reduce((sum, { posted }) => sum + posted.length, this.#backlog.size);
  }

  /** The leases of all tasks held. */
  leases(): number[] {
    return [this.#backlog.lines(), ...this.#threads.map(({ posted }) => posted)]
      .flatMap((lines) => lines.map(leaseOf));
  }

  /** Takes leased-task lines; the array is the pool's from now on. */
  accept(lines: string[]): void {
    if (this.#closed) return this.#release(lines);
    this.#backlog.push(lines);
    this.#dispatch();
    this.#timer ??= setInterval(() => this.#look(), WATCH_MS);
  }

  /** Stops these tasks wherever they are; a cancelled one is reported, a lost one is not. */
  stopTasks(leases: readonly number[], reason: "cancel" | "lost"): void {
    const wanted = new Set(leases);
    const isWanted = (line: string) => wanted.has(leaseOf(line));
    for (const thread of this.#threads) {
      if (!thread.posted.some(isWanted)) continue;
      this.takeBack(thread);
      const task = thread.current();
      if (task && isWanted(task.line)) this.#stopper.stop(thread, task, reason);
    }
    const waiting = this.#backlog.takeIf(isWanted);
    if (reason === "cancel") {
      for (const line of waiting) this.#report({ lease: leaseOf(line), cancelled: true });
    }
    this.#dispatch();
  }

  /** The link is gone, and every lease with it: stops everything, reports nothing. */
  drop(): void {
    for (const thread of this.#threads) {
      this.takeBack(thread);
      const task = thread.current();
      thread.mute();
      if (task) this.#stopper.stop(thread, task, "lost");
    }
    this.#backlog.take(this.#backlog.size);
    // The next link begins anew.
    this.#credit = creditFor(this.#threads.map(microsOf));
  }

  /** Takes no more tasks, from now on, and gives back those that have not begun. */
  close(): void {
    this.#closed = true;
    this.#credit = 0;
    this.#report({ credit: 0 });
    for (const thread of this.#threads) this.takeBack(thread);
    this.#release(this.#backlog.take(this.#backlog.size));
  }

  // What threads tell.

  ready(): void {
    this.#dispatch();
  }

  progressed(thread: Thread): void {
    if (thread.posted.length === 0 && this.#backlog.size === 0) this.#fetchWork();
    this.#dispatch();
  }

  stopped(thread: Thread): void {
    this.#stopper.ended(thread);
  }

  noted(thread: Thread, note: string): void {
    this.#progress.noted(thread, note);
  }

  printed(text: string): void {
    this.#options.listener.printed(text);
  }

  crashed(thread: Thread, message: string): void {
    if (!thread.isReady) return this.#options.listener.broken(message);
    thread.collectRest();
    this.replace(thread, this.#stopper.ended(thread) ?? this.#failCurrent(thread, message));
  }

  // What the watch does.

  takeBack(thread: Thread): void {
    this.#backlog.putBack(thread.takeBack());
  }

  stopRunning(thread: Thread, lease: number, reason: StopReason): void {
    this.takeBack(thread);
    // Read again, now that the thread cannot go on to another task.
    const task = thread.current();
    if (task && leaseOf(task.line) === lease) this.#stopper.stop(thread, task, reason);
  }

  /** Puts a fresh worker in the place of `thread`; what that one held, but for `ended`, runs again. */
  replace(thread: Thread, ended?: string): void {
    const index = this.#threads.indexOf(thread);
    if (index < 0) return;
    this.#backlog.putBack(thread.end().filter((line) => line !== ended));
    this.#threads[index] = this.#newThread(index);
  }

  /** Fails the task that runs on `thread` with an error that it did not catch. Returns its line. */
  #failCurrent(thread: Thread, message: string): string | undefined {
    const task = thread.current();
    if (!task) return undefined;
    const text = message.replace(/^Uncaught (\(in promise\) )?(Error: )?/, "");
    this.#report({
      lease: leaseOf(task.line),
      error: { code: "task_error", message: text.slice(0, MAX_ERROR_MESSAGE_CHARS) },
    });
    return task.line;
  }

  #newThread(index: number): Thread {
    return new Thread({
      table: this.#table,
      workers: this.#options.workers,
      index,
      sink: this.#sink,
      listener: this,
      newWorker: this.#options.newWorker ?? newBuiltinWorker,
    });
  }

  #dispatch(): void {
    for (let waiting = this.#backlog.size; waiting > 0; waiting = this.#backlog.size) {
      const choice = this.#choose(waiting);
      if (!choice) return;
      choice.thread.post(this.#backlog.take(choice.share));
    }
  }

  /** A worker has nothing to do: takes back what waits longest behind another's task. */
  #fetchWork(): void {
    let busiest: Thread | undefined;
    let most = FETCH_MICROS;
    for (const thread of this.#threads) {
      const waiting = (thread.posted.length - 1) * microsOf(thread);
      if (waiting < most) continue;
      busiest = thread;
      most = waiting;
    }
    if (busiest) this.takeBack(busiest);
  }

  /** The thread to give the next tasks to, and how many. */
  #choose(waiting: number): { thread: Thread; share: number } | undefined {
    let best: { thread: Thread; share: number } | undefined;
    let bestRank = Infinity;
    const now = performance.now();
    for (const thread of this.#threads) {
      if (!thread.accepts) continue;
      const micros = microsOf(thread);
      const held = thread.posted.length;
      const share = shareOf({ micros, held, waiting });
      if (share <= 0) continue;
      const load = loadOf({ micros, held, quietMicros: (now - thread.movedAt) * 1000 });
      // One that is awake and will be done in no time goes before one that would have to wake up.
      const rank = held > 0 && load < WAKE_MICROS ? -1 : load;
      if (rank < bestRank) {
        best = { thread, share };
        bestRank = rank;
      }
    }
    return best;
  }

  #look(): void {
    if (this.held === 0) return this.#stopWatch();
    const now = performance.now();
    const micros = [...this.#threads].map((thread) => this.#watch.look(thread, now));
    this.#dispatch();
    if (this.#closed) return;
    this.#tellCredit(creditFor(micros));
    const wait = this.#backlog.size / micros.reduce((rate, each) => rate + 1 / each, 0);
    const excess = Math.min(this.held - this.#credit, this.#backlog.size);
    if (wait > MAX_WAIT_MICROS && excess > 0 && this.#threads.every(({ isReady }) => isReady)) {
      this.#release(this.#backlog.takeLast(excess));
    }
  }

  #tellCredit(credit: number): void {
    if (!isWorthTelling(this.#credit, credit)) return;
    this.#credit = credit;
    this.#report({ credit });
  }

  #release(lines: readonly string[]): void {
    if (lines.length > 0) this.#report({ release: lines.map(leaseOf) });
  }

  #report(report: PoolReport): void {
    this.#sink.line(JSON.stringify(report));
  }

  #stopWatch(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
