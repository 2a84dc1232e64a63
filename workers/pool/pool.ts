/**
 * The workers of one process, and which of them runs which task. The pool takes leased-task lines from the link, posts
 * them to workers in batches, and puts results and reports into the sink. `PoolProcess` owns it.
 *
 * Invariant: a leased task is in exactly one place, the backlog or the `posted` of one thread, until its result or
 * report is in the sink. Events drive everything; `ThreadWatch` adds what no event would trigger.
 */

import { awake } from "../../net/awake_clock.ts";
import { cutText } from "../../protocol/errors.ts";
import { MAX_ERROR_MESSAGE_CHARS } from "../../protocol/limits.ts";
import {
  leaseOf,
  type PoolReport,
  type RetireReason,
  type StopReason,
} from "../../protocol/work_message.ts";
import { Backlogs } from "./backlogs.ts";
import type { BegunTask } from "./held_runs.ts";
import { LifeWatch } from "./life_watch.ts";
import { MemoryWatch } from "./memory_watch.ts";
import {
  busiestThread,
  chooseThread,
  creditFor,
  isWorthReporting,
  microsOf,
  UNKNOWN_MICROS,
} from "./pace.ts";
import { Placement } from "./placement.ts";
import type { Profile } from "./profile.ts";
import type { ReportSink } from "./ring_intake.ts";
import { Stopper } from "./stopper.ts";
import type { TaskLibrary } from "./task_library.ts";
import { Thread, type ThreadListener } from "./thread.ts";
import { ThreadWatch, type WatchedPool } from "./thread_watch.ts";

/** Longest wait that the pool accepts for its tasks, in µs: with a longer one it gives tasks back to the server. */
const MAX_WAIT_MICROS = 25_000;
const NEVER_ENDS = "a task has left behind code that never ends";
const FORGED = "task code interfered with its worker; the worker was replaced";

export interface PoolListener {
  /** This task does not stop; the process must end for it. */
  stuck(lease: number, reason: RetireReason): void;
  /** The process must end, and another must take its place, without the fault of a running task. */
  spoilt(why: string): void;
  /** A worker could not load. */
  broken(message: string): void;
  /** Code that belongs to no running task has failed or printed: a line for the operator. */
  strayed(text: string): void;
  /** A task has changed something that other tasks share: a line for the operator, unless it was logged before. */
  changed(text: string): void;
}

/** The ops, as far as the pool needs them. */
type PoolOps = Pick<
  TaskLibrary,
  "modules" | "base" | "hasSpecial" | "isOutdated" | "profileOf" | "newWorker"
>;

interface PoolOptions {
  readonly workers: number;
  /** The pool gets one task in all. */
  readonly isSingle?: boolean;
  readonly ops: PoolOps;
  /** A worker's share. */
  readonly maxMemoryBytes: number;
  readonly sink: ReportSink;
  readonly listener: PoolListener;
}

export class Pool implements ThreadListener, WatchedPool {
  readonly #options: PoolOptions;
  readonly #sink: ReportSink;
  readonly #stopper: Stopper;
  readonly #watch: ThreadWatch;
  readonly #memory: MemoryWatch<Thread>;
  readonly #lives: LifeWatch;
  readonly #threads: Thread[] = [];
  readonly #backlog: Backlogs;
  readonly #placement: Placement;
  /** Most tasks that the pool holds, as it reported it to the server. */
  #credit: number;
  #closed = false;

  constructor(options: PoolOptions) {
    const { workers, isSingle = false, ops, maxMemoryBytes, sink, listener } = options;
    this.#options = options;
    this.#backlog = new Backlogs(ops);
    this.#placement = new Placement(this.#backlog);
    this.#sink = sink;
    this.#stopper = new Stopper(sink, {
      closed: (thread, line) => this.replace(thread, line),
      stuck: (lease, reason) => listener.stuck(lease, reason),
    });
    this.#memory = new MemoryWatch({ shareBytes: maxMemoryBytes });
    this.#watch = new ThreadWatch(this, { sink, stopper: this.#stopper, memory: this.#memory });
    this.#lives = new LifeWatch(this.#threads, (thread) => this.abandon(thread));
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

  /** Ends the workers. A worker that never yields ends only with the process. */
  stop(): void {
    this.#closed = true;
    this.#lives.stop();
    this.#watch.stop();
    for (const thread of this.#threads.splice(0)) thread.end();
  }

  /** Most tasks that the pool holds. */
  get credit(): number {
    return this.#credit;
  }

  /** Number of tasks that the pool holds. */
  get held(): number {
    return this.#threads.reduce((sum, { posted }) => sum + posted.length, this.#backlog.size);
  }

  /** The process has taken more memory since the pool was closed. */
  get isRunningAway(): boolean {
    return this.#memory.isRunningAway;
  }

  /** The leases of all tasks held. */
  leases(): number[] {
    return [this.#backlog.lines(), ...this.#threads.map(({ posted }) => posted)]
      .flatMap((lines) => lines.map(leaseOf));
  }

  /** Takes leased-task lines. The caller must not use the array afterwards. */
  accept(lines: string[]): void {
    if (this.#closed) return this.#release(lines);
    this.#backlog.push(lines);
    this.#watch.start();
    this.#dispatch();
  }

  /** Stops these tasks wherever they are; a cancelled task is reported, a lost one is not. */
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

  /** The link is lost, and every lease with it: stops everything, reports nothing. */
  drop(): void {
    for (const thread of this.#threads) {
      this.takeBack(thread);
      const task = thread.current();
      thread.mute();
      if (task) this.#stopper.stop(thread, task, "lost");
    }
    this.#backlog.takeAll();
    this.#credit = creditFor(this.#threads.map(microsOf));
  }

  /**
   * The link is lost. Returns the tasks that have begun, which go on, and drops all others. The next server gets the
   * progress of each again.
   */
  hold(): BegunTask[] {
    const begun: BegunTask[] = [];
    for (const thread of this.#threads) {
      this.takeBack(thread);
      if (thread.isMuted) continue;
      const task = thread.current();
      const startedAt = Date.now() - Math.round(task?.elapsedMs ?? 0);
      const isLost = task && this.#stopper.isLosing(thread);
      for (const line of thread.posted) {
        if (!isLost || line !== task.line) begun.push({ line, startedAt });
      }
    }
    this.#backlog.takeAll();
    this.#watch.reportAgain();
    if (!this.#closed) this.#credit = creditFor(this.#threads.map(microsOf));
    return begun;
  }

  /** Takes no more tasks, and gives back the ones that have not begun. */
  close(): void {
    this.#closed = true;
    this.#credit = 0;
    this.#memory.close();
    this.#report({ credit: 0 });
    for (const thread of this.#threads) this.takeBack(thread);
    this.#release(this.#backlog.takeAll());
  }

  // Events of threads.

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
      // This worker is idle: it takes over the tasks that would wait longest behind a running one.
      const busiest = busiestThread(this.#threads);
      if (busiest) this.takeBack(busiest);
    }
    this.#dispatch();
  }

  stopped(thread: Thread): void {
    this.#stopper.ended(thread);
    // It was asked to end itself, and will.
    if (thread.isDying) this.replace(thread);
  }

  noted(thread: Thread, note: string): void {
    this.#watch.noted(thread, note);
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
    // A replaced worker can be found out when its last results are collected: its tasks run again.
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

  // Requests of the watches.

  get threads(): readonly Thread[] {
    return this.#threads;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  takeBack(thread: Thread): void {
    this.#backlog.putBack(thread.takeBack());
  }

  stopRunning(thread: Thread, lease: number, reason: StopReason): void {
    this.takeBack(thread);
    // Read again, now that the thread cannot begin another task.
    const task = thread.current();
    if (task && leaseOf(task.line) === lease) this.#stopper.stop(thread, task, reason);
  }

  /** The worker runs code that belongs to no task and never ends: only the end of the process stops it. */
  abandon(thread: Thread): void {
    this.replace(thread);
    this.#options.listener.spoilt(NEVER_ENDS);
  }

  suspect(lease: number): void {
    this.#options.listener.stuck(lease, "suspect");
  }

  looked(micros: readonly number[], now: number): void {
    if (this.#options.ops.hasSpecial) this.#placement.look(this.#threads, now);
    this.#dispatch();
    if (this.#closed || this.#options.isSingle) return;
    this.#reportCredit(creditFor(micros));
    const wait = this.#backlog.size / micros.reduce((rate, each) => rate + 1 / each, 0);
    const excess = Math.min(this.held - this.#credit, this.#backlog.size);
    if (wait > MAX_WAIT_MICROS && excess > 0 && this.#threads.every(({ isReady }) => isReady)) {
      this.#release(this.#backlog.takeLast(excess));
    }
  }

  // Workers come and go.

  /** Puts a fresh worker in the place of `thread`. The tasks that it held run again, except `ended`. */
  replace(thread: Thread, ended?: string, profile = thread.profile): void {
    const index = this.#threads.indexOf(thread);
    if (index < 0) return;
    this.#memory.left(thread, awake.now());
    // Replaced first: the last results of the old worker can ask for its replacement as well.
    this.#threads[index] = this.#newThread(profile);
    const left = thread.end().filter((line) => line !== ended);
    if (this.#closed) this.#release(left);
    else this.#backlog.putBack(left);
    if (this.#options.ops.isOutdated) this.#options.listener.spoilt("the task files have changed");
  }

  /** The worker has run its only task: another takes its place. */
  async #retireThread(thread: Thread): Promise<void> {
    // A process for a single task ends with it.
    if (this.#options.isSingle || !this.#threads.includes(thread)) return;
    const hasEnded = await thread.farewell();
    if (this.#closed || !this.#threads.includes(thread)) return;
    if (!hasEnded) this.#options.listener.spoilt(NEVER_ENDS);
    this.replace(thread);
    this.#dispatch();
  }

  /** Gives a worker to each profile that tasks wait for, as far as workers can be spared. */
  #place(): void {
    for (;;) {
      const move = this.#placement.next(this.#threads);
      if (!move) return;
      this.replace(move.seat, undefined, move.profile);
    }
  }

  #newThread(profile: Profile): Thread {
    return new Thread({ profile, ops: this.#options.ops, sink: this.#sink, listener: this });
  }

  #dispatch(): void {
    if (this.#options.ops.hasSpecial) this.#place();
    while (this.#backlog.size > 0) {
      const choice = chooseThread(this.#threads, this.#backlog, this.#placement.isOwing);
      if (!choice) return;
      const { thread, share } = choice;
      thread.post(this.#backlog.take(thread.profile, share));
    }
  }

  // Reports.

  /** Fails the running task of `thread` with an error that it did not catch. Returns its line. */
  #failCurrent(thread: Thread, message: string): string | undefined {
    const task = thread.current();
    if (!task) return undefined;
    const what = message.replace(/^Uncaught (\(in promise\) )?(Error: )?/, "");
    const text = cutText(what, MAX_ERROR_MESSAGE_CHARS);
    this.#report({ lease: leaseOf(task.line), error: { code: "task_error", message: text } });
    return task.line;
  }

  #reportCredit(credit: number): void {
    if (!isWorthReporting(this.#credit, credit)) return;
    this.#credit = credit;
    this.#report({ credit });
  }

  #release(lines: readonly string[]): void {
    if (lines.length > 0) this.#report({ release: lines.map(leaseOf) });
  }

  #report(report: PoolReport): void {
    this.#sink.line(JSON.stringify(report));
  }
}
