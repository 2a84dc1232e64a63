/**
 * The worker's loop: claims the tasks that were posted to it, one at a time and in order, runs them
 * and leaves their results in the result area. Synchronous handlers run in a plain loop; a promise is
 * awaited with everything already sent, so that the results before it do not wait.
 */

import { TaskContext, type TaskHost } from "../ops/context.ts";
import { errorOf, failureLine, type Handler, type Outcome, outcomeOf } from "../ops/handler.ts";
import { type LeasedTask, readLeasedTask } from "../ops/leased_run.ts";
import type { LogOutlet } from "./log_outlet.ts";
import { logText } from "../bridge/log_text.ts";
import {
  indexOf,
  isPlainPromise,
  mapGet,
  max,
  memoryUsage,
  microtask,
  NativeError,
  NativePromise,
  nextTurn,
  now,
  promiseThen,
  round,
  slice,
  startInterval,
  stopInterval,
} from "../primordials.ts";
import type { LogLevel } from "../../protocol/task.ts";
import { resultLine, type StopReason } from "../../protocol/work_message.ts";
import type { ResultWriter } from "../bridge/result_area.ts";
import type { TaskScope } from "./task_scope.ts";
import type { TaskRow } from "../bridge/task_table.ts";
import type { ThreadReport } from "../bridge/thread_message.ts";

/** A clock reading costs as much as a small task: tasks quicker than `QUICK_MS` share one. */
const SHARED_READING = 8;
const QUICK_MS = 0.02;
/** Results are told of at the end of a batch, or when the first has waited so long. */
const TELL_MS = 0.5;
/** The average run time follows the last eight readings or so. */
const SMOOTHING = 1 / 8;
/** A promise that is settled already gets through in three turns of the microtask queue. */
const PARK_TURNS = 6;
const HEARTBEAT_MS = 50;
/** Weighing costs as much as a few small tasks: between tasks, at most so often. */
const WEIGH_MS = 2;
/** Progress notes go to the main thread at most so often. */
const NOTE_MS = 100;

/** Leased-task lines as they were posted, and how far they are run. */
interface Batch {
  readonly lines: string;
  seq: number;
  at: number;
  next: Batch | undefined;
}

export interface TaskLoopOptions {
  readonly row: TaskRow;
  readonly results: ResultWriter;
  readonly outlet: LogOutlet;
  /** Takes what is said when no task runs that could have said it. */
  readonly stray: (text: string) => void;
  readonly ops: ReadonlyMap<string, Handler>;
  readonly report: (report: ThreadReport) => void;
  /** Keeps tasks apart, where they run code of task files. */
  readonly scope?: TaskScope | undefined;
}

export class TaskLoop implements TaskHost {
  readonly #row: TaskRow;
  readonly #results: ResultWriter;
  readonly #outlet: LogOutlet;
  readonly #stray: (text: string) => void;
  readonly #ops: ReadonlyMap<string, Handler>;
  readonly #report: (report: ThreadReport) => void;
  readonly #scope: TaskScope | undefined;

  #first: Batch | undefined = undefined;
  #last: Batch | undefined = undefined;
  #busy = false;

  /** The task that runs, 0 between two. */
  #seq = 0;
  #lease = 0;
  #context: TaskContext | undefined = undefined;
  /** Ends it, where it is awaited. */
  #settle: ((outcome: Outcome) => void) | undefined = undefined;

  #clock = 0;
  #unread = 0;
  #shared = 1;
  #averageMs = 0;

  /** The last task that the main thread was told of, and when the first after it was done. */
  #done = 0;
  #told = 0;
  #untoldSince = 0;

  #heart: ReturnType<typeof setInterval> | undefined = undefined;
  #progressed = false;
  #note: { noted: number; note: string } | undefined = undefined;
  #notedAt = -NOTE_MS;
  #weighedAt = 0;

  constructor({ row, results, outlet, stray, ops, report, scope }: TaskLoopOptions) {
    this.#row = row;
    this.#results = results;
    this.#outlet = outlet;
    this.#stray = stray;
    this.#ops = ops;
    this.#report = report;
    this.#weigh(now());
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
    this.#clock = now();
    this.#run();
  }

  /** Asks task `seq` to stop, if it is the one that runs. */
  stop(seq: number, reason: StopReason): void {
    const context = this.#context;
    if (seq !== this.#seq || !context) return;
    if (this.#scope) this.#scope.stop(context, reason);
    else TaskContext.stop(context, reason);
  }

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
    this.#note = { noted: seq, note };
    if (now() - this.#notedAt >= NOTE_MS) this.#sendNote();
  }

  log(seq: number, values: readonly unknown[]): void {
    const text = logText(values);
    if (seq === this.#seq) this.#outlet.say(this.#lease, "info", text);
    else this.#stray(text);
  }

  /** The task that runs, 0 between two. */
  get run(): number {
    return this.#seq;
  }

  /** What `console` prints: by the task that runs, as far as anyone can tell. */
  print(level: LogLevel, text: string): void {
    if (this.#seq !== 0 && !this.#scope?.isAmongLeftOvers) {
      this.#outlet.say(this.#lease, level, text);
    } else {
      this.#stray(text);
    }
  }

  /** Runs until nothing is left or a task has to be awaited; that one's end calls it again. */
  #run(): void {
    this.#busy = true;
    this.#row.setRunning(true);
    for (let batch = this.#first; batch; batch = batch.next) {
      this.#first = batch;
      if (!this.#runBatch(batch)) return;
      if (this.#done !== this.#told) this.#tell();
    }
    this.#first = this.#last = undefined;
    this.#row.setRunning(false);
    this.#busy = false;
    // Now rather than when the next task waits for it.
    if (this.#scope?.isDue(this.#clock)) nextTurn(() => this.#busy || this.#hasRested());
  }

  /** Lets go of the thread before a task that must not begin among what the last have left. */
  #rest(): void {
    this.#busy = true;
    if (this.#done !== this.#told) this.#tell();
    this.#row.setRunning(false);
    nextTurn(() => {
      this.#readClock();
      if (this.#hasRested()) this.#run();
    });
  }

  /** False: the worker has run its last task. */
  #hasRested(): boolean {
    if (!this.#scope || this.#scope.rest(this.#clock)) return true;
    this.#busy = true;
    this.#report({ worn: true });
    return false;
  }

  #runBatch(batch: Batch): boolean {
    const { lines } = batch;
    while (batch.at < lines.length) {
      const seq = batch.seq;
      const newline = indexOf(lines, "\n", batch.at);
      const end = newline < 0 ? lines.length : newline;
      const task = readLeasedTask(slice(lines, batch.at, end));
      if (this.#scope?.needsRest(task.op, this.#clock)) {
        this.#rest();
        return false;
      }
      if (!this.#row.claim(seq, this.#clock | 0)) {
        // Taken back, and with it all that was posted behind it until then.
        batch.at = lines.length;
        return true;
      }
      batch.at = end + 1;
      batch.seq = (seq + 1) | 0;
      if (!this.#runTask(seq, task)) return false;
    }
    return true;
  }

  /** False: the task's end is awaited. */
  #runTask(seq: number, task: LeasedTask): boolean {
    this.#row.describe(task.attempt, task.timeout);
    this.#seq = seq;
    this.#lease = task.lease;
    const context = this.#context = new TaskContext(this, task, seq);
    let outcome: Outcome;
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

  /** The task that runs has failed outside of what it returned. */
  #fail(outcome: Outcome): void {
    this.#settle?.(outcome);
  }

  #await(value: unknown, seq: number, lease: number): void {
    const settle = (outcome: Outcome) => {
      if (this.#seq !== seq) return;
      // Its end is read from the clock in any case, however quick the tasks before it were.
      this.#shared = 1;
      this.#finish(seq, lease, outcome);
      this.#run();
    };
    this.#settle = settle;
    promiseThen(
      // Any other thenable is asked by a promise of our own: once, in a turn of its own.
      isPlainPromise(value) ? value : new NativePromise((resolve) => resolve(value)),
      (result) => settle(outcomeOf(result)),
      (error) => settle(errorOf(error)),
    );
    this.#parkSoon(seq, PARK_TURNS);
  }

  /** Unless task `seq` ends within so many turns, tells what is done and lets the heart beat. */
  #parkSoon(seq: number, turns: number): void {
    microtask(() => {
      if (this.#seq !== seq) return;
      if (turns > 1) return this.#parkSoon(seq, turns - 1);
      this.#readClock();
      if (this.#done !== this.#told) this.#tell();
      this.#heart ??= startInterval(() => this.#beat(), HEARTBEAT_MS);
    });
  }

  #finish(seq: number, lease: number, outcome: Outcome): void {
    this.#seq = 0;
    this.#context = undefined;
    this.#settle = undefined;
    this.#scope?.end();
    if (this.#progressed) {
      this.#progressed = false;
      this.#row.clearProgress();
    }
    this.#note = undefined;
    // Before its end, behind which nobody would look for it.
    if (this.#outlet.hasRest) this.#outlet.finish(lease);
    if (typeof outcome === "string" && this.#results.writeResult(lease, outcome)) {
      this.#row.finish(seq, this.#results.end);
    } else {
      const line = typeof outcome === "string"
        ? resultLine(lease, outcome)
        : failureLine(lease, outcome);
      if (this.#results.writeLine(line)) this.#row.finish(seq, this.#results.end);
      else return this.#sendLine(seq, line);
    }
    if (this.#done === this.#told) this.#untoldSince = this.#clock;
    this.#done = seq;
    if (++this.#unread < this.#shared) return;
    this.#readClock();
    if (this.#clock - this.#untoldSince >= TELL_MS) this.#tell();
  }

  #tell(): void {
    if (this.#unread > 0) this.#readClock();
    this.#publish();
    this.#told = this.#done;
    this.#report({ done: this.#done, end: this.#results.end, logEnd: this.#row.logEnd });
  }

  /** For a line that the result area has no room for. */
  #sendLine(seq: number, line: string): void {
    this.#unread++;
    this.#readClock();
    this.#publish();
    this.#done = this.#told = seq;
    this.#row.countSent();
    this.#report({ done: seq, end: this.#results.end, logEnd: this.#row.logEnd, line });
  }

  /** Reads the clock and shares what has passed among the tasks since the last reading. */
  #readClock(): void {
    const clock = now();
    if (this.#unread > 0) {
      const each = (clock - this.#clock) / this.#unread;
      this.#averageMs = this.#averageMs === 0
        ? each
        : this.#averageMs + (each - this.#averageMs) * SMOOTHING;
      this.#shared = this.#averageMs < QUICK_MS ? SHARED_READING : 1;
    }
    this.#clock = clock;
    this.#unread = 0;
  }

  #publish(): void {
    if (this.#clock - this.#weighedAt >= WEIGH_MS) this.#weigh(this.#clock);
    this.#row.setMicros(max(1, round(this.#averageMs * 1000)));
  }

  /** Tells what the isolate takes, what it has not thrown away yet included. */
  #weigh(at: number): void {
    const { heapTotal, external } = memoryUsage();
    this.#row.tellMemory(((heapTotal + external) / 1024) | 0);
    this.#weighedAt = at;
  }

  #beat(): void {
    this.#row.beat();
    this.#weigh(now());
    if (this.#seq !== 0 && this.#outlet.hasRest) this.#outlet.flush(this.#lease);
    if (this.#note && now() - this.#notedAt >= NOTE_MS) this.#sendNote();
    if (this.#busy) return;
    stopInterval(this.#heart);
    this.#heart = undefined;
  }

  #sendNote(): void {
    if (!this.#note) return;
    this.#notedAt = now();
    this.#report(this.#note);
    this.#note = undefined;
  }
}

function isThenable(value: unknown): boolean {
  return typeof value === "object" && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}
