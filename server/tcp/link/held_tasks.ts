/**
 * The tasks that a worker process holds, by the numbers that stand for their leases on its link. A lease itself is the
 * engine's, and opaque; the number is small, and no link of a server gives it twice. Used by `work_link.ts`.
 */

import { assert } from "@std/assert";
import type { Progress } from "../../../protocol/task.ts";
import type { LogEntry } from "../../../protocol/work_message.ts";
import type { Lease, LeasedTask } from "../../engine/engine.ts";
import { RunLog } from "../../task/run_log.ts";
import { SerialMap } from "../../task/serial_map.ts";
import type { LoggedEntry, TaskLog } from "../../task/task_log.ts";

export class HeldTasks {
  readonly #newNumber: () => number;
  readonly #tasks = new SerialMap<LeasedTask>();
  /** The lease of each task as it was handed out: the task may be the engine's own record, which changes. */
  readonly #leases = new SerialMap<Lease>();
  /** What running tasks have reported last. */
  readonly #progress = new Map<number, Progress>();
  /** What running tasks have logged. */
  readonly #logs = new Map<number, RunLog>();

  constructor(newNumber: () => number) {
    this.#newNumber = newNumber;
  }

  get size(): number {
    return this.#tasks.size;
  }

  /** Adds a task that is handed out; returns the number of its lease. */
  add(task: LeasedTask): number {
    const number = this.#newNumber();
    this.#tasks.set(number, task);
    this.#leases.set(number, task.lease);
    return number;
  }

  get(number: number): LeasedTask | undefined {
    return this.#tasks.get(number);
  }

  leaseOf(number: number): Lease | undefined {
    return this.#leases.get(number);
  }

  /** Removes a task, which the process does not hold any more; returns it, if the process did. */
  take(number: number): LeasedTask | undefined {
    if (this.#progress.size > 0) this.#progress.delete(number);
    if (this.#logs.size > 0) this.#logs.delete(number);
    this.#leases.take(number);
    return this.#tasks.take(number);
  }

  /** The numbers of the `leases` that are held. Not for the hot path: it looks at every task. */
  numbersOf(leases: readonly Lease[]): number[] {
    const wanted = new Set(leases);
    const numbers: number[] = [];
    if (wanted.size === 0) return numbers;
    for (const [number, lease] of this.#leases.entries()) {
      if (wanted.has(lease)) numbers.push(number);
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
    for (const [number, progress] of this.#progress) {
      if (this.#leases.get(number) === lease) return progress;
    }
    return undefined;
  }

  /** Adds what a task has logged; returns its entries as they are numbered. */
  addLog(
    number: number,
    task: LeasedTask,
    { log, dropped }: { log: LogEntry[]; dropped?: number },
  ): readonly LoggedEntry[] {
    let runLog = this.#logs.get(number);
    if (!runLog) this.#logs.set(number, runLog = new RunLog(task));
    return runLog.add(log, dropped);
  }

  /** What the task with this number has logged; `undefined` for nothing. */
  log(number: number): TaskLog | undefined {
    return this.#logs.size > 0 ? this.#logs.get(number)?.log : undefined;
  }

  logOf(lease: Lease): TaskLog | undefined {
    for (const [number, run] of this.#logs) {
      if (this.#leases.get(number) === lease) return run.log;
    }
    return undefined;
  }

  clear(): void {
    this.#tasks.clear();
    this.#leases.clear();
    this.#progress.clear();
    this.#logs.clear();
  }
}
