/**
 * The main thread's side of one Web Worker: posts tasks to it, takes them back, collects its results. `Pool` owns it.
 *
 * Invariant: `posted` holds, oldest first, the lines of all tasks that were posted and neither reported nor taken
 * back. The worker runs them in that order, so the number of ended tasks says which ones they are. After a take-back
 * nothing is posted until the worker has finished the tasks that it had begun.
 */

import { awake } from "../../net/awake_clock.ts";
import { delay } from "@std/async/delay";
import { RingReader } from "../bridge/ring_area.ts";
import { LogIntake, type ReportSink, ResultIntake } from "./ring_intake.ts";
import type { Profile } from "./profile.ts";
import type { TaskModule } from "../ops/task_modules.ts";
import { type TaskRow, TaskShare } from "../bridge/task_table.ts";
import {
  isThreadReport,
  type ThreadOrder,
  type ThreadReport,
  type ThreadStart,
} from "../bridge/thread_message.ts";
import type { StopReason } from "../../protocol/work_message.ts";

/** Longest time for a worker to end itself, in ms, unless it runs code that never yields. */
const FAREWELL_MS = 1000;

export interface ThreadListener {
  /** The worker has loaded and takes tasks. */
  ready(thread: Thread): void;
  /** Tasks are done; their results are in the sink. */
  progressed(thread: Thread): void;
  /** The task `line`, which was asked to stop, has ended; its result is dropped. */
  stopped(thread: Thread, line: string): void;
  /** The running task reports a note of its progress. */
  noted(thread: Thread, note: string): void;
  /** The worker could not load. */
  broken(message: string): void;
  /** The worker has ended by an error that no handler caught. */
  crashed(thread: Thread, message: string): void;
  /** The worker reported something impossible, so task code wrote it: the report is ignored. */
  forged(thread: Thread): void;
  /** The worker runs no more tasks; tasks that were posted to it may not have begun. */
  worn(thread: Thread): void;
  /** Code that belongs to no running task has failed or printed: a line for the operator. */
  strayed(text: string): void;
  /** A task has changed something that other tasks share: a line for the operator, once. */
  changed(text: string): void;
}

interface ThreadOptions {
  readonly profile: Profile;
  readonly ops: {
    readonly modules: readonly TaskModule[];
    /** Starts a Web Worker, whose entry calls `serveTasks`. */
    newWorker(profile: Profile): Worker;
  };
  readonly sink: ReportSink;
  readonly listener: ThreadListener;
}

/** The running task of a thread. */
export interface CurrentTask {
  readonly seq: number;
  readonly line: string;
  readonly elapsedMs: number;
  /** 0 while unknown. */
  readonly timeoutMs: number;
}

type DoneReport = Extract<ThreadReport, { done: number }>;

export class Thread {
  readonly row: TaskRow;
  readonly profile: Profile;
  /** Time of its last report, or of the first task after none; in ms. */
  movedAt = 0;
  readonly #options: ThreadOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  /** Its messages only say that the other port has one. */
  readonly #wake: MessagePort;
  readonly #results: ResultIntake;
  readonly #log: LogIntake;
  #posted: string[] = [];
  /** Sequence number of the last task posted, and of the last one reported. */
  #last = 0;
  #reported = 0;
  /** Tasks were taken back: the cursor is ahead of the running task. */
  #tookBack = false;
  #muted = false;
  #stopping = 0;
  #isDying = false;
  /** Number of lines that came by message. */
  #received = 0;
  #ready = false;
  #over = false;
  #isForged = false;
  #isUsed = false;
  /** The pool's clock minus the worker's, in ms. */
  #aheadMs = 0;

  constructor(options: ThreadOptions) {
    const { profile, ops } = options;
    this.#options = options;
    this.profile = profile;
    const { buffer, row, results, log } = new TaskShare();
    this.row = row;
    const checks = { sink: options.sink, isChecked: ops.modules.length > 0 };
    this.#results = new ResultIntake(RingReader.ofResults(results, row), checks);
    this.#log = new LogIntake(RingReader.ofLog(log, row), checks);
    this.#worker = ops.newWorker(profile);
    this.#worker.onerror = (event) => {
      // Without this an error of leftover code would end the whole process.
      event.preventDefault();
      this.#over = true;
      options.listener.crashed(this, event.message);
    };
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (isThreadReport(data)) this.#receive(data);
      else this.#distrust();
    };
    const start: ThreadStart = {
      share: buffer,
      modules: ops.modules,
      isolate: profile.isolate,
    };
    const wake = new MessageChannel();
    this.#wake = wake.port1;
    this.#worker.postMessage(start, [port2, wake.port2]);
  }

  /** The worker has loaded. */
  get isReady(): boolean {
    return this.#ready;
  }

  /** Whether tasks may be posted. */
  get accepts(): boolean {
    return this.#ready && !this.#over && !this.#tookBack && !this.#muted && this.#stopping === 0 &&
      !this.#isDying && !(this.profile.isolate && (this.#isUsed || this.#posted.length > 0));
  }

  get isIdle(): boolean {
    return this.accepts && this.#posted.length === 0;
  }

  /** The results of its tasks are dropped. */
  get isMuted(): boolean {
    return this.#muted;
  }

  /** It was asked to end itself. */
  get isDying(): boolean {
    return this.#isDying;
  }

  /** It has run a task. */
  get isUsed(): boolean {
    return this.#isUsed;
  }

  /** Lines posted and not reported, oldest first. */
  get posted(): readonly string[] {
    return this.#posted;
  }

  /** Posts leased-task lines as one message. */
  post(lines: readonly string[]): void {
    const seq = (this.#last + 1) | 0;
    this.#last = (this.#last + lines.length) | 0;
    // The number of an ended task, so that an old request to stop never hits a new task.
    this.row.cancel(this.#reported);
    if (this.#posted.length === 0) this.movedAt = awake.now();
    for (const line of lines) this.#posted.push(line);
    this.#send({ seq, lines: lines.join("\n") });
  }

  /** Takes back and returns every task that has not begun. */
  takeBack(): string[] {
    if (this.#tookBack) return [];
    const begun = (this.row.takeBack(this.#last) - this.#reported) | 0;
    const taken = this.#posted.splice(begun);
    // Even if nothing was taken: no task must be posted behind the running one now.
    this.#tookBack = true;
    this.#caughtUp();
    return taken;
  }

  /** The running task, as the table shows it. */
  current(): CurrentTask | undefined {
    const slot = this.#tookBack ? (this.#reported + this.#posted.length) | 0 : undefined;
    const running = this.row.runningTask(slot);
    if (!running) return undefined;
    const line = this.#posted[((running.seq - this.#reported) | 0) - 1];
    if (line === undefined) return undefined;
    const onItsClock = performance.now() - this.#aheadMs;
    return {
      seq: running.seq,
      line,
      // The table holds 32 bits: only the difference counts.
      elapsedMs: Math.max(0, (Math.floor(onItsClock) - running.started) | 0),
      timeoutMs: running.timeout,
    };
  }

  /** Asks the running task to stop; its result is dropped from now on. */
  stop(task: CurrentTask, reason: StopReason): void {
    this.#stopping = task.seq;
    this.row.cancel(task.seq);
    this.#send({ stop: task.seq, reason });
  }

  /** Asks the worker to let its heart beat once. */
  askForSign(): void {
    this.#send({ live: true });
  }

  /** Asks the worker to end itself. */
  die(): void {
    this.#isDying = true;
    this.#send({ die: true });
  }

  /** Asks a worker without tasks to end itself. Resolves with whether it did. */
  async farewell(): Promise<boolean> {
    this.#over = true;
    this.die();
    for (const end = performance.now() + FAREWELL_MS; performance.now() < end; await delay(1)) {
      if (this.row.closed) return true;
    }
    return false;
  }

  /** Drops the results of all tasks posted so far; call it after `takeBack`. */
  mute(): void {
    this.#muted = this.#posted.length > 0;
  }

  /** Passes on the log lines so far. */
  collectLog(): void {
    const found = this.#unreported();
    if (found && !this.#options.sink.isFull) this.#passLog(found.logEnd);
  }

  /** Collects the results before task `seq`, which keeps the worker too busy to report them. */
  collectBefore(seq: number): void {
    const found = this.#unreported();
    if (found?.done === ((seq - 1) | 0)) this.#collect(found);
  }

  /** Collects everything from a worker that runs no task any more. */
  collectRest(): void {
    const found = this.#unreported();
    if (!found) return;
    this.#passLog(found.logEnd);
    this.#collect(found);
  }

  /**
   * Whether the worker has begun none of its tasks for `ms`. Then leftover code keeps it busy, or it has ended without
   * an event.
   */
  isSilent(ms: number): boolean {
    const { running, done, sent } = this.row;
    const isCollected = ((done - this.#reported) | 0) <= 0 && sent === this.#received;
    return this.#ready && this.#posted.length > 0 && !running && isCollected &&
      awake.now() - this.movedAt >= ms;
  }

  /** Ends a worker that runs no task; returns the lines of the tasks that it did not finish. */
  end(): string[] {
    this.#over = true;
    const waiting = this.takeBack();
    this.collectRest();
    this.#worker.onerror = null;
    this.#port.close();
    this.#wake.close();
    this.#worker.terminate();
    return [...this.#posted.splice(0), ...waiting];
  }

  #receive(report: ThreadReport): void {
    if ("done" in report) {
      if (report.line !== undefined) this.#received = (this.#received + 1) | 0;
      this.#collect(report);
    } else if ("said" in report) {
      this.#received = (this.#received + 1) | 0;
      this.#passLog(report.logEnd, report.said);
    } else if ("ready" in report) {
      this.#ready = true;
      // Late by the time of the message: a task can seem younger than it is, but never older.
      this.#aheadMs = performance.now() - report.ready;
      this.#options.listener.ready(this);
    } else if ("broken" in report) {
      this.#options.listener.broken(report.broken);
    } else if ("strayed" in report) {
      this.#options.listener.strayed(report.strayed);
    } else if ("changed" in report) {
      this.#options.listener.changed(report.changed);
    } else if ("worn" in report) {
      this.#over = true;
      this.#options.listener.worn(this);
    } else if (report.noted === this.current()?.seq) {
      this.#options.listener.noted(this, report.note);
    }
  }

  /** The state of the rings, which the worker has not reported; `undefined` while an earlier line is still on its way. */
  #unreported(): DoneReport | undefined {
    const { done, resultEnd, logEnd } = this.row;
    // `sent` is read last, so that it includes every line that was sent before this state.
    return this.row.sent === this.#received && !this.#isForged
      ? { done, end: resultEnd, logEnd }
      : undefined;
  }

  #collect({ done, end, logEnd, line }: DoneReport): void {
    const count = (done - this.#reported) | 0;
    // The results were collected before this message came.
    if (count <= 0) return;
    const lines = this.#posted.slice(0, count);
    const stopped = done === this.#stopping ? lines[count - 1] : undefined;
    if (lines.length < count) return this.#distrust();
    this.#passLog(logEnd);
    if (this.#isForged) return;
    if (this.#muted) this.#results.skip(end);
    else if (!this.#results.take(end, { lines, line, dropLast: stopped !== undefined })) {
      return this.#distrust();
    }
    this.#posted.splice(0, count);
    this.#reported = done;
    this.#isUsed = true;
    this.movedAt = awake.now();
    this.#caughtUp();
    const { listener } = this.#options;
    if (stopped !== undefined) {
      this.#stopping = 0;
      listener.stopped(this, stopped);
    }
    listener.progressed(this);
  }

  #distrust(): void {
    if (this.#isForged) return;
    this.#over = this.#isForged = true;
    this.#options.listener.forged(this);
  }

  /** Passes on the log lines up to `end`, and then `line`. */
  #passLog(end: number, line?: string): void {
    if (this.#muted) this.#log.skip(end);
    else if (!this.#log.take(end, { tasks: this.#posted, line })) this.#distrust();
  }

  /** Once all begun tasks are reported, the next one follows the last one posted. */
  #caughtUp(): void {
    if (this.#posted.length > 0) return;
    this.#reported = this.#last;
    this.#tookBack = false;
    this.#muted = false;
  }

  #send(order: ThreadOrder): void {
    this.#port.postMessage(order);
    if (this.#options.ops.modules.length > 0) this.#wake.postMessage(0);
  }
}
