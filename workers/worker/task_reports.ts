/**
 * The reports of a worker to the pool's main thread: which tasks have ended, how long tasks take, how much memory the
 * worker holds, and signs of life while it awaits a task. Results go into the result ring at once; the message about
 * them is sent for many tasks together. `TaskLoop` runs the tasks and owns this.
 */

import { resultLine } from "../../protocol/work_message.ts";
import type { ResultRing } from "../bridge/ring_area.ts";
import type { TaskRow } from "../bridge/task_table.ts";
import type { ThreadReport } from "../bridge/thread_message.ts";
import { failureLine, type RunOutcome } from "../ops/handler.ts";
import { max, memoryUsage, now, round, startInterval, stopInterval } from "../primordials.ts";
import type { LogOutlet } from "./log_outlet.ts";

/** Number of tasks that share a reading of the clock if each is quicker than `QUICK_MS`: a reading costs as much. */
const SHARED_READING = 8;
const QUICK_MS = 0.02;
/** Longest time that an ended task waits for its report, in ms; the end of a batch is reported at once. */
const REPORT_MS = 0.5;
/** Weight of the last reading in the average run time. */
const SMOOTHING = 1 / 8;
const HEARTBEAT_MS = 50;
/** Shortest time between two readings of the memory, in ms: one costs as much as a few small tasks. */
const WEIGH_MS = 2;
/** Shortest time between two progress notes, in ms. */
const NOTE_MS = 100;

interface TaskReportsOptions {
  readonly row: TaskRow;
  readonly results: ResultRing;
  readonly outlet: LogOutlet;
  readonly report: (report: ThreadReport) => void;
  readonly loop: {
    readonly isBusy: boolean;
    /** Lease of the running task, 0 between two tasks. */
    readonly runningLease: number;
  };
}

export class TaskReports {
  /** Time at the last reading of the clock, in ms. */
  clock = 0;
  readonly #row: TaskRow;
  readonly #results: ResultRing;
  readonly #outlet: LogOutlet;
  readonly #report: (report: ThreadReport) => void;
  readonly #loop: TaskReportsOptions["loop"];

  /** Tasks that ended since the last reading, and the number of tasks that share the next one. */
  #unread = 0;
  #shared = 1;
  #averageMs = 0;

  /** The last ended task, the last reported one, and when the first one after that ended. */
  #done = 0;
  #reported = 0;
  #waitsSince = 0;

  #heart: ReturnType<typeof setInterval> | undefined = undefined;
  #note: { noted: number; note: string } | undefined = undefined;
  #notedAt = -NOTE_MS;
  #weighedAt = 0;

  constructor({ row, results, outlet, report, loop }: TaskReportsOptions) {
    this.#row = row;
    this.#results = results;
    this.#outlet = outlet;
    this.#report = report;
    this.#loop = loop;
    this.#weigh(now());
  }

  /** A task begins after a time without tasks. */
  wake(): void {
    this.clock = now();
  }

  /** The end of the task that runs now is read from the clock, however quick the tasks before it were. */
  measureNext(): void {
    this.#shared = 1;
  }

  /** Task `seq` has ended. */
  ended(seq: number, lease: number, outcome: RunOutcome): void {
    if (typeof outcome === "string" && this.#results.writeResult(lease, outcome)) {
      this.#row.finish(seq, this.#results.end);
    } else {
      const line = typeof outcome === "string"
        ? resultLine(lease, outcome)
        : failureLine(lease, outcome);
      if (this.#results.writeLine(line)) this.#row.finish(seq, this.#results.end);
      else return this.#sendLine(seq, line);
    }
    if (this.#done === this.#reported) this.#waitsSince = this.clock;
    this.#done = seq;
    if (++this.#unread < this.#shared) return;
    this.readClock();
    if (this.clock - this.#waitsSince >= REPORT_MS) this.#send();
  }

  /** Reports the ended tasks that are not reported yet. */
  flush(): void {
    if (this.#done !== this.#reported) this.#send();
  }

  /** Reads the clock, and divides the time since the last reading among the tasks that ended. */
  readClock(): void {
    const clock = now();
    if (this.#unread > 0) {
      const each = (clock - this.clock) / this.#unread;
      this.#averageMs = this.#averageMs === 0
        ? each
        : this.#averageMs + (each - this.#averageMs) * SMOOTHING;
      this.#shared = this.#averageMs < QUICK_MS ? SHARED_READING : 1;
    }
    this.clock = clock;
    this.#unread = 0;
  }

  /** The running task is awaited: lets the heart beat until the loop is idle. */
  startHeart(): void {
    this.#heart ??= startInterval(() => this.#beat(), HEARTBEAT_MS);
  }

  /** The running task `seq` reports a note of its progress. */
  note(seq: number, note: string): void {
    this.#note = { noted: seq, note };
    if (now() - this.#notedAt >= NOTE_MS) this.#sendNote();
  }

  clearProgress(): void {
    this.#row.clearProgress();
    this.#note = undefined;
  }

  #send(): void {
    if (this.#unread > 0) this.readClock();
    this.#publish();
    this.#reported = this.#done;
    this.#report({ done: this.#done, end: this.#results.end, logEnd: this.#row.logEnd });
  }

  /** Reports a line for which the result ring has no space. */
  #sendLine(seq: number, line: string): void {
    this.#unread++;
    this.readClock();
    this.#publish();
    this.#done = this.#reported = seq;
    this.#row.countSent();
    this.#report({ done: seq, end: this.#results.end, logEnd: this.#row.logEnd, line });
  }

  #publish(): void {
    if (this.clock - this.#weighedAt >= WEIGH_MS) this.#weigh(this.clock);
    this.#row.setMicros(max(1, round(this.#averageMs * 1000)));
  }

  /** Reports the memory of the isolate, with garbage that is not collected yet. */
  #weigh(at: number): void {
    const { heapTotal, external } = memoryUsage();
    this.#row.reportMemory(((heapTotal + external) / 1024) | 0);
    this.#weighedAt = at;
  }

  #beat(): void {
    this.#row.beat();
    this.#weigh(now());
    const lease = this.#loop.runningLease;
    if (lease !== 0 && this.#outlet.hasRest) this.#outlet.flush(lease);
    if (this.#note && now() - this.#notedAt >= NOTE_MS) this.#sendNote();
    if (this.#loop.isBusy) return;
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
