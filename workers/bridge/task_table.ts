/**
 * The shared task table: one row for each worker, followed by its two rings (ring_area.ts). A worker writes its
 * state into the row with `Atomics` and without a message, even inside a loop that never yields. The pool's main
 * thread reads the row, takes tasks back through it, and asks through it for a task to stop. Each row is a
 * `SharedArrayBuffer` of its own, so no worker can reach the row of another worker or of its own successor.
 *
 * Invariant: a task runs only on the worker that moved `CURSOR` to the task's sequence number, so a
 * task that was taken back never starts there. Sequence numbers count the tasks posted to one worker
 * from 1 and wrap at 32 bits; only their difference is compared.
 */

import { round } from "../primordials.ts";

/** Size of each ring. A batch of 128 small results takes about 5 KiB, the longest log entry at most 48 KiB. */
export const RING_BYTES = 64 * 1024;

/** Two cache lines: the worker writes to the first, the main thread to the second. */
const ROW_BYTES = 128;
const ROW_INTS = ROW_BYTES / 4;

/** Sequence number of the task last claimed, or of the last one taken back: the task slot. */
const CURSOR = 0;
/** 1 while the worker has tasks. */
const RUNNING = 1;
const ATTEMPT = 2;
/** When the task in the slot started, in ms on the worker's own clock. */
const STARTED = 3;
/** Time limit of that task, in ms; 0 until the worker has read the task. */
const TIMEOUT = 4;
/** Progress that the task reported, in millionths, plus one; 0 if it reported none. */
const PROGRESS = 5;
/** Moves every 50 ms while the worker's event loop lives and a task is awaited. */
const HEARTBEAT = 6;
/** Sequence number of the last task whose result is in the worker's result ring. */
const DONE = 7;
/** Where that result ends in the result ring. */
const RESULT_END = 8;
/** Run time of a task in µs, averaged over the last ones; 0 before the first. */
const MICROS = 9;
/** 1 once the worker has ended itself because it was asked to. */
const CLOSED = 10;
/** Number of lines that were too large for their ring and were sent by message. */
const SENT = 11;
/** Memory of the worker's isolate at its last report, in KiB; and the number of these reports. */
const MEMORY = 12;
const MEMORY_REPORTS = 13;
/** Where the last log line ends in the log ring. */
const LOG_END = 14;
/** Sequence number of the task that must stop. Written by the main thread, like all below. */
const CANCEL = 16;
/** Up to where the main thread has taken results from the result ring. */
const RESULT_TAKEN = 17;
/** Up to where the main thread has taken lines from the log ring. */
const LOG_TAKEN = 18;

const MILLION = 1_000_000;

/** The task that a worker runs, read as one consistent state. */
interface RunningTask {
  seq: number;
  /** ms on the worker's clock. */
  started: number;
  /** ms; 0 while unknown. */
  timeout: number;
}

/** The memory that the main thread shares with one worker. */
export class TaskShare {
  readonly buffer: SharedArrayBuffer;
  readonly row: TaskRow;
  /** The ring for results. */
  readonly results: Uint8Array<SharedArrayBuffer>;
  /** The ring for log lines. */
  readonly log: Uint8Array<SharedArrayBuffer>;

  /** Without `buffer`, new memory. */
  constructor(buffer = new SharedArrayBuffer(ROW_BYTES + 2 * RING_BYTES)) {
    this.buffer = buffer;
    this.row = new TaskRow(new Int32Array(buffer, 0, ROW_INTS));
    this.results = new Uint8Array(buffer, ROW_BYTES, RING_BYTES);
    this.log = new Uint8Array(buffer, ROW_BYTES + RING_BYTES, RING_BYTES);
  }
}

const { load, store, compareExchange, add } = Atomics;

/** One worker's row. The upper methods are the worker's, the lower ones the main thread's. */
export class TaskRow {
  readonly #ints: Int32Array<SharedArrayBuffer>;

  constructor(ints: Int32Array<SharedArrayBuffer>) {
    this.#ints = ints;
  }

  /** Claims task `seq`, which follows the last one; false if it was taken back. */
  claim(seq: number, started: number): boolean {
    const ints = this.#ints;
    // Written before the claim, which publishes them: a reader of the new cursor sees these as well.
    ints[STARTED] = started;
    ints[TIMEOUT] = 0;
    const before = (seq - 1) | 0;
    return compareExchange(ints, CURSOR, before, seq) === before;
  }

  describe(attempt: number, timeout: number): void {
    this.#ints[ATTEMPT] = attempt;
    store(this.#ints, TIMEOUT, timeout);
  }

  /** The result of `seq` is in the result ring and ends at `resultEnd`. */
  finish(seq: number, resultEnd: number): void {
    // Plain writes: the claim of the next task, or the message that follows, publishes them.
    this.#ints[RESULT_END] = resultEnd;
    this.#ints[DONE] = seq;
  }

  /** A line is sent by message: until it arrives, the main thread takes nothing from the rings. */
  countSent(): void {
    add(this.#ints, SENT, 1);
  }

  /** The log ring holds lines up to `end`. */
  setLogEnd(end: number): void {
    store(this.#ints, LOG_END, end);
  }

  setRunning(running: boolean): void {
    store(this.#ints, RUNNING, running ? 1 : 0);
  }

  setMicros(micros: number): void {
    store(this.#ints, MICROS, micros);
  }

  setProgress(fraction: number): void {
    store(this.#ints, PROGRESS, round(fraction * MILLION) + 1);
  }

  clearProgress(): void {
    store(this.#ints, PROGRESS, 0);
  }

  beat(): void {
    add(this.#ints, HEARTBEAT, 1);
  }

  reportMemory(kib: number): void {
    store(this.#ints, MEMORY, kib);
    add(this.#ints, MEMORY_REPORTS, 1);
  }

  setClosed(): void {
    store(this.#ints, CLOSED, 1);
  }

  /** Whether task `seq` must stop. Takes a few nanoseconds, so a tight loop can ask in every round. */
  isCancelled(seq: number): boolean {
    return load(this.#ints, CANCEL) === seq;
  }

  get resultTaken(): number {
    return load(this.#ints, RESULT_TAKEN);
  }

  get logTaken(): number {
    return load(this.#ints, LOG_TAKEN);
  }

  // The main thread's side.

  /** Takes back every task up to `last` that was not claimed; returns the last claimed one. */
  takeBack(last: number): number {
    for (;;) {
      const cursor = load(this.#ints, CURSOR);
      if (compareExchange(this.#ints, CURSOR, cursor, last) === cursor) return cursor;
    }
  }

  /** Asks task `seq` to stop. */
  cancel(seq: number): void {
    store(this.#ints, CANCEL, seq);
  }

  setResultTaken(end: number): void {
    store(this.#ints, RESULT_TAKEN, end);
  }

  setLogTaken(end: number): void {
    store(this.#ints, LOG_TAKEN, end);
  }

  get logEnd(): number {
    return load(this.#ints, LOG_END);
  }

  get cursor(): number {
    return load(this.#ints, CURSOR);
  }

  get running(): boolean {
    return load(this.#ints, RUNNING) === 1;
  }

  get attempt(): number {
    return load(this.#ints, ATTEMPT);
  }

  get heartbeat(): number {
    return load(this.#ints, HEARTBEAT);
  }

  get memoryBytes(): number {
    return load(this.#ints, MEMORY) * 1024;
  }

  get memoryReports(): number {
    return load(this.#ints, MEMORY_REPORTS);
  }

  get micros(): number {
    return load(this.#ints, MICROS);
  }

  get closed(): boolean {
    return load(this.#ints, CLOSED) === 1;
  }

  get sent(): number {
    return load(this.#ints, SENT);
  }

  get done(): number {
    return load(this.#ints, DONE);
  }

  get resultEnd(): number {
    return load(this.#ints, RESULT_END);
  }

  /** 0…1, or `undefined` if the task reported none. */
  get progress(): number | undefined {
    const millionths = load(this.#ints, PROGRESS);
    return millionths === 0 ? undefined : (millionths - 1) / MILLION;
  }

  /**
   * The task that runs now; `undefined` between two tasks. `slot` is its sequence number, if the main thread knows
   * it: a take-back moves the cursor beyond it.
   */
  runningTask(slot?: number): RunningTask | undefined {
    if (!this.running) return undefined;
    const cursor = this.cursor;
    const seq = slot ?? cursor;
    const started = load(this.#ints, STARTED);
    const timeout = load(this.#ints, TIMEOUT);
    // The worker writes the start of a task after it has finished the last one, and before it claims this one.
    if (this.done === seq || this.cursor !== cursor) return undefined;
    return { seq, started, timeout };
  }
}
