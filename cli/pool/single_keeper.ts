/**
 * Keeps worker processes for ops whose runs have a process each (`isolate: "process"`). One process, already
 * connected, waits for the next task; up to one for each worker runs a task. Each takes one task and ends with it.
 * The processes of the pool cannot start them, since they drop the right to start programs before any task code
 * loads; so `PoolKeeper` does it through this class.
 */

import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { PoolNews, SingleOp, TaskFileRef } from "../../protocol/pool_start.ts";
import { type ChildStart, crashMessage, crashOf, PoolChild } from "./pool_child.ts";
import type { OwnExecutable, Startable } from "./self_command.ts";

/** Time after the limit of its task at which a process is killed from outside, in ms. */
const OVERTIME_MS = 10_000;
/** Delay of the next start after a process that took no task, in ms; doubled with each failure. */
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 5000;
/** Crashes in a row before the first connection, after which the task files are at fault. */
const MANY_FAILURES = 3;

interface SingleKeeperListener {
  started(pid: number): void;
  /** The task files do not load. Returns the files of the version before, if there is one. */
  fault(message: string): TaskFileRef[] | undefined;
  /** The process has not answered for `ms`, and is killed. */
  frozen(pid: number, ms: number): void;
  /** As `PoolKeeperOptions.onTalk`. */
  said(pid: number, line: string, isRaw: boolean): void;
}

export class SingleKeeper {
  readonly #listener: SingleKeeperListener;
  readonly #executable: OwnExecutable;
  readonly #busy = new Set<PoolChild>();
  #start: ChildStart | undefined;
  /** The process that takes the next task. */
  #waiting: PoolChild | undefined;
  /** Processes without a task that are about to end. */
  readonly #leaving = new Set<PoolChild>();
  #isStarting = false;
  #stopped = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(executable: OwnExecutable, listener: SingleKeeperListener) {
    this.#executable = executable;
    this.#listener = listener;
  }

  /** From now on processes run `ops`, as a pool with `start` has loaded them. Running tasks finish as they are. */
  use(start: ChildStart, ops: readonly SingleOp[]): void {
    if (this.#stopped) return;
    const { pool: _pool, ...own } = start;
    const next = { ...own, reconnect: false, resumes: start.reconnect, single: [...ops] };
    if (this.#start && JSON.stringify(next) === JSON.stringify(this.#start)) return this.#fill();
    this.#start = ops.length > 0 ? next : undefined;
    this.#failures = 0;
    // The server can give it a task at this moment: then the task has its full time.
    if (this.#waiting) {
      this.#leaving.add(this.#waiting);
      void this.#waiting.stop(MAX_TIMEOUT_MS);
      this.#waiting = undefined;
    }
    this.#fill();
  }

  /** Lets running tasks finish for at most `graceMs`, then ends all processes for good. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    const waiting = this.#waiting ? [this.#waiting] : [];
    const all = [...this.#busy, ...this.#leaving, ...waiting];
    await Promise.all(all.map((child) => child.stop(graceMs)));
  }

  #fill(): void {
    clearTimeout(this.#retry);
    const isFull = this.#waiting || this.#isStarting ||
      this.#busy.size >= (this.#start?.workers ?? 0);
    if (this.#stopped || isFull) return;
    this.#isStarting = true;
    void this.#startOne().finally(() => this.#isStarting = false);
  }

  async #startOne(): Promise<void> {
    let program: Startable | undefined;
    try {
      program = await this.#executable.startable();
      if (this.#start && !this.#stopped) this.#spawn(this.#start, program);
      else program.release();
    } catch {
      program?.release();
      // The executable is missing, perhaps only while another release takes its place. `PoolKeeper` reports that.
      this.#failed();
    }
  }

  #spawn(start: ChildStart, program: Startable): void {
    const child: PoolChild = new PoolChild({ ...start, workers: 1 }, {
      hear: (news) => this.#hear(child, news),
      frozen: (ms) => this.#listener.frozen(child.pid, ms),
      said: (line, isRaw) => this.#listener.said(child.pid, line, isRaw),
    }, { program });
    this.#waiting = child;
    this.#listener.started(child.pid);
    void child.ended.then(({ signal }) => this.#ended(child, crashOf(signal)));
  }

  #hear(child: PoolChild, news: Exclude<PoolNews, { alive: true }>): void {
    if ("taken" in news) {
      // The process stops its task at the limit by itself; this is in case it cannot.
      void child.killAfter(news.taken + OVERTIME_MS);
      if (child !== this.#waiting) return;
      this.#waiting = undefined;
      this.#failures = 0;
      this.#busy.add(child);
      this.#fill();
    } else if ("fault" in news) {
      this.#fault(news.fault);
    }
  }

  #ended(child: PoolChild, crash: string | undefined): void {
    this.#busy.delete(child);
    this.#leaving.delete(child);
    if (this.#waiting !== child) return this.#fill();
    this.#waiting = undefined;
    this.#failed();
    if (crash && !child.wasReady && this.#failures >= MANY_FAILURES && this.#start) {
      this.#fault(crashMessage(this.#start.taskFiles, crash));
    }
  }

  #fault(message: string): void {
    const taskFiles = this.#listener.fault(message);
    if (this.#start && taskFiles) this.#start = { ...this.#start, taskFiles };
  }

  /** Tries again, later with each failure in a row. */
  #failed(): void {
    if (this.#stopped) return;
    const delayMs = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures++);
    this.#retry = setTimeout(() => this.#fill(), delayMs);
  }
}
