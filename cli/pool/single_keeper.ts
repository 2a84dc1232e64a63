/**
 * Keeps processes for ops that ask for one of their own for each run: one that waits for a task, already connected, and
 * those that run one, up to one for each worker. Each takes one task and ends with it. The processes of the pool
 * cannot start them, since they give up that right before any task code is there; so it is done here, beside
 * `PoolKeeper`.
 */

import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import type { PoolNews, PoolStart, SingleOp, TaskFileRef } from "../../protocol/pool_start.ts";
import type { OwnExecutable, Startable } from "./own_executable.ts";
import { crashOf, PoolChild, tellCrash } from "./pool_child.ts";

/** One that has not stopped its task by itself so long after its time limit is killed from outside. */
const OVERTIME_MS = 10_000;
/** The next attempt after one that could not even take a task. */
const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 5000;
/** Crashes in a row, each before its process was connected, after which the task files are at fault. */
const MANY_FAILURES = 3;

export interface SingleKeeperListener {
  started(pid: number): void;
  /** It cannot load its task files; returns those of the version before, if there was one. */
  fault(message: string): TaskFileRef[] | undefined;
  /** It has not answered for `ms`, and is killed. */
  frozen(pid: number, ms: number): void;
  /** As `PoolKeeperOptions.onTalk`. */
  said(pid: number, line: string, isRaw: boolean): void;
}

export class SingleKeeper {
  readonly #listener: SingleKeeperListener;
  readonly #executable: OwnExecutable;
  readonly #busy = new Set<PoolChild>();
  #start: Omit<PoolStart, "nonce"> | undefined;
  /** Takes the next task. */
  #waiting: PoolChild | undefined;
  /** Those that have no task, and are to end. */
  readonly #leaving = new Set<PoolChild>();
  #isStarting = false;
  #stopped = false;
  #failures = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;

  constructor(executable: OwnExecutable, listener: SingleKeeperListener) {
    this.#executable = executable;
    this.#listener = listener;
  }

  /** From now on processes run `ops`, as a pool with `start` has loaded them; those that run a task finish it. */
  use(start: Omit<PoolStart, "nonce">, ops: readonly SingleOp[]): void {
    if (this.#stopped) return;
    const { pool: _pool, ...own } = start;
    const next = { ...own, reconnect: false, single: [...ops] };
    if (this.#start && JSON.stringify(next) === JSON.stringify(this.#start)) return this.#fill();
    this.#start = ops.length > 0 ? next : undefined;
    this.#failures = 0;
    // It may be given a task at this moment, and then has the time of any other.
    if (this.#waiting) {
      this.#leaving.add(this.#waiting);
      void this.#waiting.stop(MAX_TIMEOUT_MS);
      this.#waiting = undefined;
    }
    this.#fill();
  }

  /** Lets the tasks that run finish for at most `graceMs`, then ends all processes for good. */
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
      // The executable is gone, maybe only while another release takes its place; `PoolKeeper` tells.
      this.#failed();
    }
  }

  #spawn(start: Omit<PoolStart, "nonce">, { path, release }: Startable): void {
    const child: PoolChild = new PoolChild({ ...start, workers: 1 }, {
      hear: (news) => {
        release();
        this.#hear(child, news);
      },
      frozen: (ms) => this.#listener.frozen(child.pid, ms),
      said: (line, isRaw) => this.#listener.said(child.pid, line, isRaw),
    }, { path });
    this.#waiting = child;
    this.#listener.started(child.pid);
    void child.ended.then(({ signal }) => {
      release();
      this.#ended(child, crashOf(signal));
    });
  }

  #hear(child: PoolChild, news: Exclude<PoolNews, { alive: true }>): void {
    if ("taken" in news) {
      // It ends a task at its limit by itself; this is for one that cannot even do that.
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
      this.#fault(tellCrash(this.#start.taskFiles, crash));
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
