/**
 * The loop of a worker: claims the tasks that were posted to it, one at a time and in order, and runs them. A handler
 * that returns a value runs in a plain loop; a promise is awaited, after the results before it are reported, so that
 * they do not wait for it. `TaskReports` takes the outcomes. `serveTasks` makes the loop and passes it orders.
 */

import type { LogLevel } from "../../protocol/task.ts";
import type { StopReason } from "../../protocol/work_message.ts";
import { logText } from "../bridge/log_text.ts";
import type { ResultRing } from "../bridge/ring_area.ts";
import type { TaskRow } from "../bridge/task_table.ts";
import type { ThreadReport } from "../bridge/thread_message.ts";
import { TaskContext, type TaskHost } from "../ops/context.ts";
import { errorOf, type Handler, outcomeOf, type RunOutcome } from "../ops/handler.ts";
import { type LeasedRun, readLeasedRun } from "../ops/leased_run.ts";
import {
  indexOf,
  isPlainPromise,
  mapGet,
  microtask,
  NativeError,
  NativePromise,
  nextTurn,
  promiseThen,
  slice,
} from "../primordials.ts";
import type { LogOutlet } from "./log_outlet.ts";
import { TaskReports } from "./task_reports.ts";
import type { TaskScope } from "./task_scope.ts";

/** Turns of the microtask queue that a task gets before it counts as awaited; a settled promise needs three. */
const PARK_TURNS = 6;

/** Leased-task lines as they were posted, and the position of the next one. */
interface Batch {
  readonly lines: string;
  seq: number;
  at: number;
  next: Batch | undefined;
}

interface TaskLoopOptions {
  readonly row: TaskRow;
  readonly results: ResultRing;
  readonly outlet: LogOutlet;
  /** Takes output that belongs to no running task. */
  readonly stray: (text: string) => void;
  readonly ops: ReadonlyMap<string, Handler>;
  readonly report: (report: ThreadReport) => void;
  /** Keeps tasks apart, if they run code of task files. */
  readonly scope?: TaskScope | undefined;
}

export class TaskLoop implements TaskHost {
  readonly #row: TaskRow;
  readonly #outlet: LogOutlet;
  readonly #stray: (text: string) => void;
  readonly #ops: ReadonlyMap<string, Handler>;
  readonly #report: (report: ThreadReport) => void;
  readonly #scope: TaskScope | undefined;
  readonly #reports: TaskReports;

  #first: Batch | undefined = undefined;
  #last: Batch | undefined = undefined;
  #busy = false;

  /** Sequence number of the running task, 0 between two tasks. */
  #seq = 0;
  #lease = 0;
  #context: TaskContext | undefined = undefined;
  /** Ends the running task, if it is awaited. */
  #settle: ((outcome: RunOutcome) => void) | undefined = undefined;
  #progressed = false;

  constructor({ row, results, outlet, stray, ops, report, scope }: TaskLoopOptions) {
    this.#row = row;
    this.#outlet = outlet;
    this.#stray = stray;
    this.#ops = ops;
    this.#report = report;
    this.#reports = new TaskReports({ row, results, outlet, report, loop: this });
    this.#scope = scope;
    scope?.open({
      failed: (thrown) => this.#fail(errorOf(thrown)),
      strayed: (text) => report({ strayed: text }),
      changed: (text) => report({ changed: text }),
    });
  }

  /** Takes leased-task lines, joined by newlines; the first is task `seq`. */
  push(seq: number, lines: string): void {
    const batch: Batch = { lines, seq, at: 0, next: undefined };
    if (this.#last) this.#last.next = batch;
    else this.#first = batch;
    this.#last = batch;
    if (this.#busy) return;
    this.#reports.wake();
    this.#run();
  }

  /** Asks task `seq` to stop, if it is running. */
  stop(seq: number, reason: StopReason): void {
    const context = this.#context;
    if (seq !== this.#seq || !context) return;
    if (this.#scope) this.#scope.stop(context, reason);
    else TaskContext.stop(context, reason);
  }

  get isBusy(): boolean {
    return this.#busy;
  }

  get runningLease(): number {
    return this.#seq === 0 ? 0 : this.#lease;
  }

  // Requests of a task's context.

  isCancelled(seq: number): boolean {
    return this.#row.isCancelled(seq);
  }

  progress(seq: number, fraction: number): void {
    if (seq !== this.#seq) return;
    this.#progressed = true;
    this.#row.setProgress(fraction);
  }

  note(seq: number, note: string): void {
    if (seq !== this.#seq) return;
    this.#progressed = true;
    this.#reports.note(seq, note);
  }

  log(seq: number, values: readonly unknown[]): void {
    const text = logText(values);
    if (seq === this.#seq) this.#outlet.say(this.#lease, "info", text);
    else this.#stray(text);
  }

  /** The running task, 0 between two tasks. */
  get run(): number {
    return this.#seq;
  }

  /** Output of `console`: it belongs to the running task, unless it is known to come from another. */
  print(level: LogLevel, text: string): void {
    if (this.#seq !== 0 && !this.#scope?.isAmongLeftOvers) {
      this.#outlet.say(this.#lease, level, text);
    } else {
      this.#stray(text);
    }
  }

  // Running.

  /** Runs until no task is left or one must be awaited; the end of that one calls this again. */
  #run(): void {
    this.#busy = true;
    this.#row.setRunning(true);
    for (let batch = this.#first; batch; batch = batch.next) {
      this.#first = batch;
      if (!this.#runBatch(batch)) return;
      this.#reports.flush();
    }
    this.#first = this.#last = undefined;
    this.#row.setRunning(false);
    this.#busy = false;
    // Now, not when the next task waits for it.
    if (this.#scope?.isDue(this.#reports.clock)) nextTurn(() => this.#busy || this.#hasRested());
  }

  /** Yields before a task that must not begin until the leftovers of the last tasks had their turn. */
  #rest(): void {
    this.#busy = true;
    this.#reports.flush();
    this.#row.setRunning(false);
    nextTurn(() => {
      this.#reports.readClock();
      if (this.#hasRested()) this.#run();
    });
  }

  /** False: the worker runs no further task. */
  #hasRested(): boolean {
    if (!this.#scope || this.#scope.rest(this.#reports.clock)) return true;
    this.#busy = true;
    this.#report({ worn: true });
    return false;
  }

  /** False: the loop goes on later. */
  #runBatch(batch: Batch): boolean {
    const { lines } = batch;
    while (batch.at < lines.length) {
      const seq = batch.seq;
      const newline = indexOf(lines, "\n", batch.at);
      const end = newline < 0 ? lines.length : newline;
      const task = readLeasedRun(slice(lines, batch.at, end));
      if (this.#scope?.needsRest(task.op, this.#reports.clock)) {
        this.#rest();
        return false;
      }
      if (!this.#row.claim(seq, this.#reports.clock | 0)) {
        // Taken back, together with all tasks that were posted behind it until then.
        batch.at = lines.length;
        return true;
      }
      batch.at = end + 1;
      batch.seq = (seq + 1) | 0;
      if (!this.#runTask(seq, task)) return false;
    }
    return true;
  }

  /** False: the end of the task is awaited. */
  #runTask(seq: number, task: LeasedRun): boolean {
    this.#row.describe(task.attempt, task.timeout);
    this.#seq = seq;
    this.#lease = task.lease;
    const context = this.#context = new TaskContext(this, task, seq);
    let outcome: RunOutcome;
    try {
      const handler = mapGet(this.#ops, task.op) as Handler | undefined;
      if (!handler) throw new NativeError(`this worker has no op ${task.op}`);
      const value = this.#scope
        ? this.#scope.run(handler, task, { seq, context })
        : handler(task.args, context);
      if (isThenable(value)) {
        this.#await(value, seq, task.lease);
        return false;
      }
      outcome = outcomeOf(value);
    } catch (error) {
      outcome = errorOf(error);
    }
    this.#finish(seq, task.lease, outcome);
    return true;
  }

  /** The running task has failed by other means than the promise that it returned. */
  #fail(outcome: RunOutcome): void {
    this.#settle?.(outcome);
  }

  #await(value: unknown, seq: number, lease: number): void {
    const settle = (outcome: RunOutcome) => {
      if (this.#seq !== seq) return;
      this.#reports.measureNext();
      this.#finish(seq, lease, outcome);
      this.#run();
    };
    this.#settle = settle;
    promiseThen(
      // Another thenable is wrapped in a native promise, which calls its `then` once, in a turn of its own.
      isPlainPromise(value) ? value : new NativePromise((resolve) => resolve(value)),
      (result) => settle(outcomeOf(result)),
      (error) => settle(errorOf(error)),
    );
    this.#parkSoon(seq, PARK_TURNS);
  }

  /** If task `seq` does not end within `turns`, reports what has ended and starts the heartbeat. */
  #parkSoon(seq: number, turns: number): void {
    microtask(() => {
      if (this.#seq !== seq) return;
      if (turns > 1) return this.#parkSoon(seq, turns - 1);
      this.#reports.readClock();
      this.#reports.flush();
      this.#reports.startHeart();
    });
  }

  #finish(seq: number, lease: number, outcome: RunOutcome): void {
    this.#seq = 0;
    this.#context = undefined;
    this.#settle = undefined;
    this.#scope?.end();
    if (this.#progressed) {
      this.#progressed = false;
      this.#reports.clearProgress();
    }
    // Before the end of the task: log lines that come after it are not taken any more.
    if (this.#outlet.hasRest) this.#outlet.finish(lease);
    this.#reports.ended(seq, lease, outcome);
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}
