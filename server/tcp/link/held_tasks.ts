/**
 * The tasks that a worker process holds, by the numbers that stand for their leases on its link. A lease itself is the
 * engine's, and opaque; the number is small, and no link of a server gives it twice. `TaskFeed` writes them to the process.
 * Used by `work_link.ts`.
 */

import { assert } from "@std/assert";
import type { Progress } from "../../../protocol/task.ts";
import { type HeldLease, leasedTaskLine, type LogEntry } from "../../../protocol/work_message.ts";
import type { HeldRun } from "../../engine/adoption.ts";
import type { Lease, LeasedTask } from "../../engine/engine.ts";
import { RunLog } from "../../task/run_log.ts";
import type { Outbox } from "../socket/outbox.ts";
import { SerialMap } from "../../task/serial_map.ts";
import type { LoggedEntry, TaskLog } from "../../task/task_log.ts";

/** The last number that any link of the server gave to a lease; all links share it. */
export interface LeaseNumbers {
  last: number;
}

export class HeldTasks {
  readonly #counter: LeaseNumbers;
  readonly #tasks = new SerialMap<LeasedTask>();
  /** The lease of each task as it was handed out: the task may be the engine's own record, which changes. */
  readonly #leases = new SerialMap<Lease>();
  /** The newest number. */
  #last = 0;
  /** The newest number of the server at the last look for tasks that last. */
  #seenTo = 0;
  /**
   * The numbers by lease, also of some tasks that have left. It is complete up to `#knownTo`. Only a look for a lease
   * completes it: handing a task out costs nothing here, and a bulk cancel does not look at all tasks for each of its own.
   */
  readonly #numbers = new Map<Lease, number>();
  #knownTo = 0;
  /** The last progress of running tasks. */
  readonly #progress = new Map<number, Progress>();
  /** The logs of running tasks. */
  readonly #logs = new Map<number, RunLog>();

  constructor(numbers: LeaseNumbers) {
    this.#counter = numbers;
  }

  get size(): number {
    return this.#tasks.size;
  }

  /** The ids of the tasks that were held at the last call as well. */
  lasting(): string[] {
    const ids: string[] = [];
    for (const [number, { id }] of this.#tasks.entries()) if (number <= this.#seenTo) ids.push(id);
    this.#seenTo = this.#counter.last;
    return ids;
  }

  /** Adds a task that is handed out; returns the number of its lease. */
  add(task: LeasedTask): number {
    const number = this.#last = ++this.#counter.last;
    this.#tasks.set(number, task);
    this.#leases.set(number, task.lease);
    return number;
  }

  /**
   * Goes on with runs of an earlier link, under the numbers that their process knows; returns the numbers of runs
   * that are not lost. `blamed`: runs whose loss was counted as a death. `adopt` asks the engine.
   */
  async resume(
    holds: readonly HeldLease[],
    blamed: ReadonlySet<number>,
    adopt: (runs: readonly HeldRun[]) => Promise<readonly (LeasedTask | undefined)[]>,
  ): Promise<number[]> {
    const runs = holds.map(([id, attempt, startedAt, number]) => {
      return { id, attempt, startedAt, wasBlamed: blamed.has(number) };
    });
    const tasks = runs.length > 0 ? await adopt(runs) : [];
    const numbers: number[] = [];
    holds.forEach(([, , , number], i) => {
      const task = tasks[i];
      if (!task) return;
      this.#tasks.set(number, task);
      this.#leases.set(number, task.lease);
      this.#numbers.set(task.lease, number);
      numbers.push(number);
    });
    return numbers;
  }

  get(number: number): LeasedTask | undefined {
    return this.#tasks.get(number);
  }

  leaseOf(number: number): Lease | undefined {
    return this.#leases.get(number);
  }

  /** Removes a task that the process no longer holds; `undefined` if it did not hold it. */
  take(number: number): LeasedTask | undefined {
    if (this.#progress.size > 0) this.#progress.delete(number);
    if (this.#logs.size > 0) this.#logs.delete(number);
    this.#leases.take(number);
    return this.#tasks.take(number);
  }

  /** The number of `lease`, if it is held. */
  numberOf(lease: Lease): number | undefined {
    if (this.#knownTo !== this.#last) this.#learnNumbers();
    const number = this.#numbers.get(lease);
    return number !== undefined && this.#leases.get(number) === lease ? number : undefined;
  }

  /** The numbers of the `leases` that are held. */
  numbersOf(leases: readonly Lease[]): number[] {
    const numbers: number[] = [];
    for (const lease of new Set(leases)) {
      const number = this.numberOf(lease);
      if (number !== undefined) numbers.push(number);
    }
    return numbers;
  }

  /** Every task with its number and its lease, in no order. */
  *entries(): Generator<{ number: number; lease: Lease; task: LeasedTask }> {
    for (const [number, task] of this.#tasks.entries()) {
      const lease = this.#leases.get(number);
      assert(lease !== undefined, "a held task has a lease");
      yield { number, lease, task };
    }
  }

  setProgress(number: number, progress: Progress): void {
    this.#progress.set(number, progress);
  }

  progressOf(lease: Lease): Progress | undefined {
    if (this.#progress.size === 0) return undefined;
    const number = this.numberOf(lease);
    return number === undefined ? undefined : this.#progress.get(number);
  }

  /** Adds log lines of a task; returns them as numbered entries. */
  addLog(
    number: number,
    task: LeasedTask,
    { log, dropped }: { log: LogEntry[]; dropped?: number },
  ): readonly LoggedEntry[] {
    let runLog = this.#logs.get(number);
    if (!runLog) this.#logs.set(number, runLog = new RunLog(task));
    return runLog.add(log, dropped);
  }

  /** The log of the task with this number; `undefined` if it has none. */
  log(number: number): TaskLog | undefined {
    return this.#logs.size > 0 ? this.#logs.get(number)?.log : undefined;
  }

  logOf(lease: Lease): TaskLog | undefined {
    if (this.#logs.size === 0) return undefined;
    const number = this.numberOf(lease);
    return number === undefined ? undefined : this.#logs.get(number)?.log;
  }

  clear(): void {
    this.#tasks.clear();
    this.#leases.clear();
    this.#numbers.clear();
    this.#progress.clear();
    this.#logs.clear();
  }

  /** Completes `#numbers`, in as many steps as the smaller of two numbers: tasks handed out since the last time, and tasks held. */
  #learnNumbers(): void {
    const { size } = this.#leases;
    if (this.#last - this.#knownTo > size || this.#numbers.size > 2 * size) {
      this.#numbers.clear();
      for (const [number, lease] of this.#leases.entries()) this.#numbers.set(lease, number);
    } else {
      for (let number = this.#knownTo + 1; number <= this.#last; number++) {
        const lease = this.#leases.get(number);
        if (lease !== undefined) this.#numbers.set(lease, number);
      }
    }
    this.#knownTo = this.#last;
  }
}

/** Least tasks of a batch that is written at once. */
const EAGER_TASKS = 32;
/** Characters of tasks that are written before the process has read some. */
const FEED_CHARS = 4 * 1024 * 1024;

/** Writes leased tasks to a worker process, a large number in pieces, as fast as the process reads. */
export class TaskFeed {
  readonly #outbox: Pick<Outbox, "push" | "flush" | "room">;
  /** Tasks that are not written yet, by their numbers. */
  readonly #unwritten = new Map<number, LeasedTask>();

  constructor(outbox: Pick<Outbox, "push" | "flush" | "room">) {
    this.#outbox = outbox;
  }

  /** Writes tasks, or lets them wait for their turn; `held` gives each its number. */
  write(tasks: readonly LeasedTask[], held: Pick<HeldTasks, "add">): void {
    let text = "";
    for (const task of tasks) {
      const number = held.add(task);
      if (this.#unwritten.size > 0 || text.length > FEED_CHARS) {
        if (this.#unwritten.size === 0) void this.#feed();
        this.#unwritten.set(number, task);
        continue;
      }
      text += leasedTaskLine(number, task);
      text += "\n";
    }
    if (text === "") return;
    this.#outbox.push(text);
    // A large batch keeps the workers busy while the server reads on: both work at the same time.
    if (tasks.length >= EAGER_TASKS) this.#outbox.flush();
  }

  /** Does not write a task that waits; false if it is written. */
  drop(number: number): boolean {
    return this.#unwritten.delete(number);
  }

  clear(): void {
    this.#unwritten.clear();
  }

  async #feed(): Promise<void> {
    do {
      // The first is put there once this has been called, and one that is cancelled may have been the last.
      await undefined;
      await this.#outbox.room();
      let text = "";
      for (const [number, task] of this.#unwritten) {
        this.#unwritten.delete(number);
        text += leasedTaskLine(number, task);
        text += "\n";
        if (text.length > FEED_CHARS) break;
      }
      if (text !== "") this.#outbox.push(text);
    } while (this.#unwritten.size > 0);
  }
}
