/**
 * The main thread's side of one Web Worker: posts tasks to it, takes them back, collects its results.
 *
 * Invariant: `posted` holds, oldest first, the lines of every task that was posted and neither
 * reported nor taken back. The worker runs them in that order, so to know how many are done is to know
 * which. After a take-back nothing is posted until the worker is through with what it had begun.
 */

import { awake } from "../../net/awake_clock.ts";
import { delay } from "@std/async/delay";
import { LogReader } from "../bridge/log_area.ts";
import { LogIntake } from "./log_intake.ts";
import type { Profile } from "./profile.ts";
import { ResultReader } from "../bridge/result_area.ts";
import { ResultIntake, type ResultSink } from "./result_intake.ts";
import type { TaskModule } from "../ops/task_modules.ts";
import { type TaskRow, TaskShare } from "../bridge/task_table.ts";
import {
  isThreadReport,
  type ThreadOrder,
  type ThreadReport,
  type ThreadStart,
} from "../bridge/thread_message.ts";
import type { StopReason } from "../../protocol/work_message.ts";

/** A worker whose event loop lives ends itself well within this. */
const FAREWELL_MS = 1000;

export interface ThreadListener {
  /** The worker has loaded and takes tasks. */
  ready(thread: Thread): void;
  /** Tasks are done; their results are in the sink. */
  progressed(thread: Thread): void;
  /** The task that was asked to stop has ended; `line` was its own, its result is dropped. */
  stopped(thread: Thread, line: string): void;
  /** The running task says how it is. */
  noted(thread: Thread, note: string): void;
  /** The worker could not load. */
  broken(message: string): void;
  /** The worker has ended by itself, for a reason that no handler caught. */
  crashed(thread: Thread, message: string): void;
  /** What the worker says cannot be: something in it speaks that is not ours. None of it is believed. */
  forged(thread: Thread): void;
  /** The worker has run its last task, and some of what was posted to it was not begun. */
  worn(thread: Thread): void;
  /** Something that no running task has begun has failed: a line for the operator. */
  strayed(text: string): void;
  /** A task has changed something that others share: a line for the operator, once. */
  changed(text: string): void;
}

export interface ThreadOptions {
  readonly profile: Profile;
  readonly ops: {
    readonly modules: readonly TaskModule[];
    /** Starts a Web Worker, whose entry calls `serveTasks`. */
    newWorker(profile: Profile): Worker;
  };
  readonly sink: ResultSink;
  readonly listener: ThreadListener;
}

/** The task that runs on a thread. */
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
  /** When something was heard of it last, or the first of its tasks was posted; in ms. */
  movedAt = 0;
  readonly #options: ThreadOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  /** Its messages say that there is one on the other. */
  readonly #wake: MessagePort;
  readonly #results: ResultIntake;
  readonly #log: LogIntake;
  #posted: string[] = [];
  /** Sequence number of the last task posted, and of the last one reported. */
  #last = 0;
  #reported = 0;
  /** Tasks were taken back: the cursor is ahead of the task that runs. */
  #tookBack = false;
  #muted = false;
  #stopping = 0;
  #isDying = false;
  /** Lines that came by message. */
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
    const { buffer, row, resultArea, logArea } = new TaskShare();
    this.row = row;
    // It runs code of others.
    const isChecked = ops.modules.length > 0;
    const { sink } = options;
    this.#results = new ResultIntake(new ResultReader(resultArea, row), { sink, isChecked });
    this.#log = new LogIntake(new LogReader(logArea, row), { sink, isChecked });
    this.#worker = ops.newWorker(profile);
    this.#worker.onerror = (event) => {
      // Without this an error that a task left behind would end the whole process.
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
    // A number that is surely not of a task to come, so that an old wish to stop never hits a new task.
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
    // Also where nothing was behind it: whoever takes back will not have anything wait here.
    this.#tookBack = true;
    this.#caughtUp();
    return taken;
  }

  /** The task that runs, as far as the table tells. */
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

  /** Asks the task that runs to stop; what it returns from now on is dropped. */
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

  /** Ends itself, if its event loop lives; resolves with whether it did. For one that has no task. */
  async farewell(): Promise<boolean> {
    this.#over = true;
    this.die();
    for (const end = performance.now() + FAREWELL_MS; performance.now() < end; await delay(1)) {
      if (this.row.closed) return true;
    }
    return false;
  }

  /** Drops the results of all that was posted so far; call it after `takeBack`. */
  mute(): void {
    this.#muted = this.#posted.length > 0;
  }

  /** Passes on what tasks have said so far. */
  collectLog(): void {
    const unsaid = this.#unsaid();
    if (unsaid && !this.#options.sink.isFull) this.#passLog(unsaid.logEnd);
  }

  /** Collects the results that lie there while task `seq` keeps the worker from telling of them. */
  collectBefore(seq: number): void {
    const unsaid = this.#unsaid();
    if (unsaid?.done === ((seq - 1) | 0)) this.#collect(unsaid);
  }

  /** Collects all that lies there, of a worker that runs nothing any more. */
  collectRest(): void {
    const unsaid = this.#unsaid();
    if (!unsaid) return;
    this.#passLog(unsaid.logEnd);
    this.#collect(unsaid);
  }

  /**
   * Whether the worker has begun nothing of what it was given `ms` ago: something that a task has left
   * behind keeps it busy, or it has ended without a word.
   */
  isSilent(ms: number): boolean {
    const { running, done, sent } = this.row;
    const isCollected = ((done - this.#reported) | 0) <= 0 && sent === this.#received;
    return this.#ready && this.#posted.length > 0 && !running && isCollected &&
      awake.now() - this.movedAt >= ms;
  }

  /** Ends a worker that runs nothing; returns the lines of the tasks that it leaves behind. */
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
      // Late by the time that the message took, so a task may seem younger than it is, never older.
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

  /** What lies there without a word of the worker; nothing while a line is on its way that comes before some of it. */
  #unsaid(): DoneReport | undefined {
    const { done, resultEnd, logEnd } = this.row;
    // Read last: what was sent before any of that counts.
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

  /** Passes on what lies in the log area up to `end`, and then `line`. */
  #passLog(end: number, line?: string): void {
    if (this.#muted) this.#log.skip(end);
    else if (!this.#log.take(end, { tasks: this.#posted, line })) this.#distrust();
  }

  /** Once all that was begun is reported, the next task follows on the last one posted. */
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
