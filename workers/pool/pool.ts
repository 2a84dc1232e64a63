/**
 * The workers of one process, and which of them runs which task. Takes leased-task lines from the
 * link, hands them to workers in batches, puts results and reports into the sink.
 *
 * Invariant: a leased task is in exactly one place, the backlog or one thread's `posted`, until its
 * result or report is in the sink. Everything is driven by what happens; the watch, which runs only
 * while tasks are held, looks after those that take long.
 */

import { cutText } from "../../protocol/errors.ts";
import { awake } from "../../net/awake_clock.ts";
import { MAX_ERROR_MESSAGE_CHARS } from "../../protocol/limits.ts";
import {
  leaseOf,
  type PoolReport,
  type RetireReason,
  type StopReason,
} from "../../protocol/work_message.ts";
import { Backlogs } from "./backlogs.ts";
import { LifeWatch } from "./life_watch.ts";
import { MemoryWatch } from "./memory_watch.ts";
import { creditFor, isWorthTelling, UNKNOWN_MICROS } from "./pace.ts";
import type { Profile } from "./profile.ts";
import { ProgressReporter } from "./progress.ts";
import { Placement } from "./placement.ts";
import { Stopper } from "./stopper.ts";
import type { TaskLibrary } from "./task_library.ts";
import type { ResultSink } from "./result_intake.ts";
import { Thread, type ThreadListener } from "./thread.ts";
import { busiestThread, chooseThread } from "./thread_choice.ts";
import { microsOf, ThreadWatch, type WatchedPool } from "./thread_watch.ts";

const WATCH_MS = 20;
/** Tasks that would wait longer than this go back to the server. */
const MAX_WAIT_MICROS = 25_000;
const NEVER_ENDS = "a task has left something that never ends";
const FORGED = "something in the worker spoke for it; the worker was replaced";

export interface PoolListener {
  /** This task does not stop; the process must end for it. */
  stuck(lease: number, reason: RetireReason): void;
  /** No task is to blame, but the process must end, and another take its place: it says why. */
  spoilt(why: string): void;
  /** A worker could not even load. */
  broken(message: string): void;
  /** Something that belongs to no running task has failed, or was printed: a line for the operator. */
  strayed(text: string): void;
  /** A task has changed what others share: the same, where it was not told before. */
  changed(text: string): void;
}

/** What the pool needs to know of its ops. */
export type PoolOps = Pick<
  TaskLibrary,
  "modules" | "base" | "hasSpecial" | "isOutdated" | "profileOf" | "newWorker"
>;

export interface PoolOptions {
  readonly workers: number;
  /** It will be given one task in all. */
  readonly isSingle?: boolean;
  readonly ops: PoolOps;
  /** A worker's share. */
  readonly maxMemoryBytes: number;
  readonly sink: ResultSink;
  readonly listener: PoolListener;
}

export class Pool implements ThreadListener, WatchedPool {
  readonly #options: PoolOptions;
  readonly #sink: ResultSink;
  readonly #stopper: Stopper;
  readonly #progress: ProgressReporter;
  readonly #watch: ThreadWatch;
  readonly #memory: MemoryWatch<Thread>;
  readonly #lives: LifeWatch;
  readonly #threads: Thread[] = [];
  readonly #backlog: Backlogs;
  readonly #seating: Placement;
  #timer: ReturnType<typeof setInterval> | undefined;
  /** What the server knows of how much the pool will hold. */
  #credit: number;
  #closed = false;
  /** How late the last look was, in ms. */
  #lateMs = 0;

  constructor(options: PoolOptions) {
    const { workers, isSingle = false, ops, maxMemoryBytes, sink, listener } = options;
    this.#options = options;
    this.#backlog = new Backlogs(ops);
    this.#seating = new Placement(this.#backlog);
    this.#sink = sink;
    this.#progress = new ProgressReporter(sink);
    this.#stopper = new Stopper(sink, {
      closed: (thread, line) => this.replace(thread, line),
      stuck: (lease, reason) => listener.stuck(lease, reason),
    });
    this.#watch = new ThreadWatch(this, { stopper: this.#stopper, progress: this.#progress });
    this.#memory = new MemoryWatch({ shareBytes: maxMemoryBytes });
    this.#lives = new LifeWatch(this.#threads, (thread) => this.giveUp(thread));
    this.#credit = isSingle ? 1 : creditFor(Array(workers).fill(UNKNOWN_MICROS));
  }

  /** Starts the workers; tasks may come before they have loaded. */
  start(): void {
    while (this.#threads.length < this.#options.workers) {
      this.#threads.push(this.#newThread(this.#options.ops.base));
    }
    // The built-in ops leave nothing behind.
    if (this.#options.ops.modules.length > 0) this.#lives.start();
  }

  /** Ends the workers. Only a process's end stops one that spins. */
  stop(): void {
    this.#closed = true;
    this.#lives.stop();
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

  /** Since it was closed, the process has gone on taking memory. */
  get isRunningAway(): boolean {
    return this.#memory.isRunningAway;
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
    if (this.#timer === undefined) this.#startWatch();
    this.#dispatch();
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
    this.#backlog.takeAll();
    // The next link begins anew.
    this.#credit = creditFor(this.#threads.map(microsOf));
  }

  /** Takes no more tasks, from now on, and gives back those that have not begun. */
  close(): void {
    this.#closed = true;
    this.#credit = 0;
    this.#memory.close();
    this.#report({ credit: 0 });
    for (const thread of this.#threads) this.takeBack(thread);
    this.#release(this.#backlog.takeAll());
  }

  // What threads tell.

  ready(thread: Thread): void {
    this.#memory.ready(thread, awake.now());
    this.#dispatch();
  }

  progressed(thread: Thread): void {
    if (thread.posted.length === 0) {
      if (thread.profile.isolate) void this.#retireThread(thread);
      else if (this.#memory.isSpent(thread)) this.replace(thread);
    }
    if (thread.posted.length === 0 && this.#backlog.size === 0) {
      // It has nothing to do: what waits longest behind another's task is for it.
      const busiest = busiestThread(this.#threads);
      if (busiest) this.takeBack(busiest);
    }
    this.#dispatch();
  }

  stopped(thread: Thread): void {
    this.#stopper.ended(thread);
    // Too late to let it live.
    if (thread.isDying) this.replace(thread);
  }

  noted(thread: Thread, note: string): void {
    this.#progress.noted(thread, note);
  }

  broken(message: string): void {
    this.#options.listener.broken(message);
  }

  crashed(thread: Thread, message: string): void {
    if (!thread.isReady) return this.broken(message);
    thread.collectRest();
    this.replace(thread, this.#stopper.ended(thread) ?? this.#failCurrent(thread, message));
  }

  forged(thread: Thread): void {
    // One that was replaced is found out when the rest is collected: what it held runs again.
    if (!this.#threads.includes(thread)) return;
    const lease = leaseOf(thread.current()?.line ?? thread.posted[0] ?? "");
    const error = { code: "worker_crashed", message: FORGED } as const;
    if (lease > 0) this.#report({ lease, error, retry: false });
    this.#options.listener.strayed(FORGED);
    this.replace(thread, thread.posted.find((line) => leaseOf(line) === lease));
    this.#dispatch();
  }

  worn(thread: Thread): void {
    this.replace(thread);
    this.#dispatch();
  }

  strayed(text: string): void {
    this.#options.listener.strayed(text);
  }

  changed(text: string): void {
    this.#options.listener.changed(text);
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

  /** What it runs belongs to no task, and never ends: only the end of the process stops it. */
  giveUp(thread: Thread): void {
    this.replace(thread);
    this.#options.listener.spoilt(NEVER_ENDS);
  }

  /** Puts a fresh worker in the place of `thread`; what that one held, but for `ended`, runs again. */
  replace(thread: Thread, ended?: string, profile = thread.profile): void {
    const index = this.#threads.indexOf(thread);
    if (index < 0) return;
    this.#memory.left(thread, awake.now());
    // First: what the old one is found to have done at its end may ask for its replacement as well.
    this.#threads[index] = this.#newThread(profile);
    const left = thread.end().filter((line) => line !== ended);
    if (this.#closed) this.#release(left);
    else this.#backlog.putBack(left);
    if (this.#options.ops.isOutdated) this.#options.listener.spoilt("the task files have changed");
  }

  /** The worker has run what it is for: another takes its place. */
  async #retireThread(thread: Thread): Promise<void> {
    // With a single task, the process ends as well.
    if (this.#options.isSingle || !this.#threads.includes(thread)) return;
    const hasEnded = await thread.farewell();
    if (this.#closed || !this.#threads.includes(thread)) return;
    if (!hasEnded) this.#options.listener.spoilt(NEVER_ENDS);
    this.replace(thread);
    this.#dispatch();
  }

  /** Fails the task that runs on `thread` with an error that it did not catch. Returns its line. */
  #failCurrent(thread: Thread, message: string): string | undefined {
    const task = thread.current();
    if (!task) return undefined;
    const what = message.replace(/^Uncaught (\(in promise\) )?(Error: )?/, "");
    const text = cutText(what, MAX_ERROR_MESSAGE_CHARS);
    this.#report({ lease: leaseOf(task.line), error: { code: "task_error", message: text } });
    return task.line;
  }

  #newThread(profile: Profile): Thread {
    return new Thread({ profile, ops: this.#options.ops, sink: this.#sink, listener: this });
  }

  #dispatch(): void {
    if (this.#options.ops.hasSpecial) this.#seat();
    while (this.#backlog.size > 0) {
      const choice = chooseThread(this.#threads, this.#backlog, this.#seating.isOwing);
      if (!choice) return;
      const { thread, share } = choice;
      thread.post(this.#backlog.take(thread.profile, share));
    }
  }

  /** Gives profiles that tasks wait for a worker where one can be spared. */
  #seat(): void {
    for (;;) {
      const move = this.#seating.next(this.#threads);
      if (!move) return;
      this.replace(move.seat, undefined, move.profile);
    }
  }

  #look(): void {
    if (this.held === 0) return this.#stopWatch();
    const now = awake.now();
    if (this.#isLate()) return;
    const micros = [...this.#threads].map((thread) => this.#watch.look(thread, now));
    if (this.#options.ops.hasSpecial) this.#seating.look(this.#threads, now);
    this.#watch.looked(awake.asleepMs);
    if (!this.#closed) this.#weigh(now);
    this.#dispatch();
    if (this.#closed || this.#options.isSingle) return;
    this.#tellCredit(creditFor(micros));
    const wait = this.#backlog.size / micros.reduce((rate, each) => rate + 1 / each, 0);
    const excess = Math.min(this.held - this.#credit, this.#backlog.size);
    if (wait > MAX_WAIT_MICROS && excess > 0 && this.#threads.every(({ isReady }) => isReady)) {
      this.#release(this.#backlog.takeLast(excess));
    }
  }

  /** This process has just gone on after a stop: its workers are to show first that they have too. */
  #isLate(): boolean {
    const { asleepMs } = awake;
    const wasLate = this.#lateMs > 0;
    this.#lateMs = asleepMs - this.#watch.asleepMs;
    return this.#lateMs > 0 && !wasLate;
  }

  /** Stops what takes more memory than its share, and lets no worker begin that has too little left. */
  #weigh(now: number): void {
    const verdict = this.#memory.look(this.#threads, now);
    for (const thread of [...this.#threads]) {
      if (!this.#memory.isSpent(thread)) continue;
      this.takeBack(thread);
      if (thread.posted.length === 0) this.replace(thread);
    }
    // What one takes that is being stopped must not be laid to another.
    if (!verdict || this.#threads.some((thread) => this.#stopper.isStopping(thread))) return;
    for (const { thread, line } of verdict.guilty) {
      this.stopRunning(thread, leaseOf(line), "memory");
    }
    for (const { line } of verdict.suspects) {
      this.#options.listener.stuck(leaseOf(line), "suspect");
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

  #startWatch(): void {
    this.#memory.begin(this.#threads, awake.now());
    this.#watch.looked(awake.asleepMs);
    this.#lateMs = 0;
    this.#timer = setInterval(() => this.#look(), WATCH_MS);
  }

  #stopWatch(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
