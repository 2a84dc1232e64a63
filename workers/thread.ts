/**
 * The main thread's side of one Web Worker: posts tasks to it, takes them back, collects its results.
 *
 * Invariant: `posted` holds, oldest first, the lines of every task that was posted and neither
 * reported nor taken back. The worker runs them in that order, so to know how many are done is to know
 * which. After a take-back nothing is posted until the worker is through with what it had begun.
 */

import { LogReader } from "./log_area.ts";
import { ResultReader } from "./result_area.ts";
import type { TaskRow, TaskTable } from "./task_table.ts";
import type { ThreadOrder, ThreadReport, ThreadStart } from "./thread_message.ts";
import type { StopReason } from "../protocol/work_message.ts";

/** Results go here as they come: whole lines, as bytes that must be copied, or as text. */
export interface ResultSink {
  write(bytes: Uint8Array): void;
  line(text: string): void;
  /** So much waits to be sent that what tasks say has to wait where it is. */
  readonly isFull: boolean;
}

export interface ThreadListener {
  /** The worker has loaded and takes tasks. */
  ready(thread: Thread): void;
  /** Tasks are done; their results are in the sink. */
  progressed(thread: Thread): void;
  /** The task that was asked to stop has ended; `line` was its own, its result is dropped. */
  stopped(thread: Thread, line: string): void;
  /** The running task says how it is. */
  noted(thread: Thread, note: string): void;
  /** Task code has printed something when no task ran. */
  printed(text: string): void;
  /** The worker has ended by itself, for a reason that no handler caught. */
  crashed(thread: Thread, message: string): void;
}

export interface ThreadOptions {
  readonly table: TaskTable;
  readonly workers: number;
  readonly index: number;
  readonly sink: ResultSink;
  readonly listener: ThreadListener;
  /** Starts the Web Worker, whose entry calls `serveTasks`. */
  readonly newWorker: () => Worker;
}

/** A worker of the built-in ops. It may do nothing but compute. */
export function newBuiltinWorker(): Worker {
  return new Worker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    deno: { permissions: "none" },
  });
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
  /** When something was heard of it last, or the first of its tasks was posted; in ms. */
  movedAt = 0;
  readonly #options: ThreadOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #results: ResultReader;
  readonly #log: LogReader;
  #posted: string[] = [];
  /** Sequence number of the last task posted, and of the last one reported. */
  #last = 0;
  #reported = 0;
  /** Tasks were taken back: the cursor is ahead of the task that runs. */
  #tookBack = false;
  #muted = false;
  #stopping = 0;
  /** Lines that came by message. */
  #received = 0;
  #ready = false;
  #over = false;
  /** The pool's clock minus the worker's, in ms. */
  #aheadMs = 0;

  constructor(options: ThreadOptions) {
    const { table, workers, index } = options;
    this.#options = options;
    this.row = table.row(index);
    this.row.reset();
    this.#results = new ResultReader(table.resultArea(index), this.row);
    this.#log = new LogReader(table.logArea(index), this.row);
    this.#worker = options.newWorker();
    this.#worker.onerror = (event) => {
      // Without this an error that a task left behind would end the whole process.
      event.preventDefault();
      this.#over = true;
      options.listener.crashed(this, event.message);
    };
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }: MessageEvent<ThreadReport>) => this.#receive(data);
    const start: ThreadStart = { table: table.buffer, workers, row: index };
    this.#worker.postMessage(start, [port2]);
  }

  /** The worker has loaded. */
  get isReady(): boolean {
    return this.#ready;
  }

  /** Whether tasks may be posted. */
  get accepts(): boolean {
    return this.#ready && !this.#over && !this.#tookBack && !this.#muted && this.#stopping === 0;
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
    if (this.#posted.length === 0) this.movedAt = performance.now();
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

  /** Asks the worker to end itself. */
  die(): void {
    this.#send({ die: true });
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
   * Whether the worker has begun nothing of what it was given `ms` ago. It may have ended without a
   * word: task code can do that.
   */
  isSilent(ms: number): boolean {
    const { running, done, sent } = this.row;
    const isCollected = ((done - this.#reported) | 0) <= 0 && sent === this.#received;
    return this.#ready && this.#posted.length > 0 && !running && isCollected &&
      performance.now() - this.movedAt >= ms;
  }

  /** Ends a worker that runs nothing; returns the lines of the tasks that it leaves behind. */
  end(): string[] {
    this.#over = true;
    const waiting = this.takeBack();
    this.collectRest();
    this.#worker.onerror = null;
    this.#port.close();
    this.#worker.terminate();
    return [...this.#posted.splice(0), ...waiting];
  }

  #receive(report: ThreadReport): void {
    if ("done" in report) {
      if (report.line !== undefined) this.#received = (this.#received + 1) | 0;
      this.#collect(report);
    } else if ("said" in report) {
      this.#received = (this.#received + 1) | 0;
      this.#passLog(report.logEnd);
      if (!this.#muted) this.#options.sink.line(report.said);
    } else if ("stray" in report) {
      this.#options.listener.printed(report.stray);
    } else if ("ready" in report) {
      this.#ready = true;
      // Late by the time that the message took, so a task may seem younger than it is, never older.
      this.#aheadMs = performance.now() - report.ready;
      this.#options.listener.ready(this);
    } else if (report.noted === this.current()?.seq) {
      this.#options.listener.noted(this, report.note);
    }
  }

  /** What lies there without a word of the worker; nothing while a line is on its way that comes before some of it. */
  #unsaid(): DoneReport | undefined {
    const { done, resultEnd, logEnd } = this.row;
    // Read last: what was sent before any of that counts.
    return this.row.sent === this.#received ? { done, end: resultEnd, logEnd } : undefined;
  }

  #collect({ done, end, logEnd, line }: DoneReport): void {
    const count = (done - this.#reported) | 0;
    // The results were collected before this message came.
    if (count <= 0) return;
    this.#reported = done;
    this.movedAt = performance.now();
    const lines = this.#posted.splice(0, count);
    const stopped = done === this.#stopping ? lines[count - 1] : undefined;
    this.#passLog(logEnd);
    this.#pass(end, { line, dropLast: stopped !== undefined });
    this.#caughtUp();
    const { listener } = this.#options;
    if (stopped !== undefined) {
      this.#stopping = 0;
      listener.stopped(this, stopped);
    }
    listener.progressed(this);
  }

  #passLog(end: number): void {
    if (this.#muted) this.#log.skip(end);
    else this.#log.take(end, this.#options.sink);
  }

  #pass(end: number, { line, dropLast }: { line: string | undefined; dropLast: boolean }): void {
    const { sink } = this.#options;
    if (this.#muted) return this.#results.skip(end);
    if (dropLast && line === undefined) return this.#results.takeButLast(end, sink);
    this.#results.take(end, sink);
    if (line !== undefined && !dropLast) sink.line(line);
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
  }
}
