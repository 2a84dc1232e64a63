/**
 * The shared task table: a row per worker, and the area of its results behind it. A worker writes
 * what it does with `Atomics` and no message, even in the middle of a loop that never yields; the
 * pool's main thread reads it, takes tasks back through it and asks through it for a task to stop.
 * Each row is a `SharedArrayBuffer` of its own: no worker can reach that of another, nor a worker that
 * was given up that of the one in its place.
 *
 * Invariant: a task runs only on the worker that moved `CURSOR` to the task's sequence number, so a
 * task that was taken back never starts there. Sequence numbers count the tasks posted to one worker
 * from 1 and wrap at 32 bits; they are compared by their difference only.
 */

import { round } from "../primordials.ts";

/** Results of one worker that are not taken yet; a batch of 128 small ones takes about 5 KiB. */
export const RESULT_AREA_BYTES = 64 * 1024;
/** What the tasks of one worker have said and is not taken yet; the longest entry takes 48 KiB at worst. */
export const LOG_AREA_BYTES = 64 * 1024;
const AREA_BYTES = RESULT_AREA_BYTES + LOG_AREA_BYTES;

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
/** How long it may run, in ms; 0 until the worker has read the task. */
const TIMEOUT = 4;
/** How far it says it is, in millionths, plus one; 0 where it said nothing. */
const PROGRESS = 5;
/** Moves every 50 ms while the worker's event loop lives and a task is awaited. */
const HEARTBEAT = 6;
/** Sequence number of the last task whose result lies in the worker's result area. */
const DONE = 7;
/** Where that result ends in the result area. */
const RESULT_END = 8;
/** Run time of a task in µs, averaged over the last ones; 0 before the first. */
const MICROS = 9;
/** 1 once the worker has ended itself because it was asked to. */
const CLOSED = 10;
/** How many lines were too large for their area and were sent by message. */
const SENT = 11;
/** What the worker's isolate has taken, in KiB, when it last told; and how often it has told. */
const MEMORY = 12;
const MEMORY_TOLD = 13;
/** Where what tasks have said ends in the log area. */
const LOG_END = 14;
/** Sequence number of the task that shall stop. Written by the main thread, like all below. */
const CANCEL = 16;
/** Up to where the main thread has taken results from the result area. */
const RESULT_TAKEN = 17;
/** Up to where the main thread has taken lines from the log area. */
const LOG_TAKEN = 18;

const MILLION = 1_000_000;

/** What a worker is running, as one consistent reading. */
export interface RunningTask {
  seq: number;
  /** ms on the worker's clock. */
  started: number;
  /** ms; 0 while unknown. */
  timeout: number;
}

/** What the main thread shares with one worker. */
export class TaskShare {
  readonly buffer: SharedArrayBuffer;
  readonly row: TaskRow;
  /** The bytes in which the worker leaves its results. */
  readonly resultArea: Uint8Array<SharedArrayBuffer>;
  /** The bytes in which it leaves what its tasks say. */
  readonly logArea: Uint8Array<SharedArrayBuffer>;

  /** A new one, or one made elsewhere. */
  constructor(buffer = new SharedArrayBuffer(ROW_BYTES + AREA_BYTES)) {
    this.buffer = buffer;
    this.row = new TaskRow(new Int32Array(buffer, 0, ROW_INTS));
    this.resultArea = new Uint8Array(buffer, ROW_BYTES, RESULT_AREA_BYTES);
    this.logArea = new Uint8Array(buffer, ROW_BYTES + RESULT_AREA_BYTES, LOG_AREA_BYTES);
  }
}

const { load, store, compareExchange, add } = Atomics;

/** One worker's row. The upper methods are the worker's, the lower ones the main thread's. */
export class TaskRow {
  readonly #ints: Int32Array<SharedArrayBuffer>;

  constructor(ints: Int32Array<SharedArrayBuffer>) {
    this.#ints = ints;
  }

  /** Takes task `seq`, which follows the one before; false: it was taken back. */
  claim(seq: number, started: number): boolean {
    const ints = this.#ints;
    // Before the claim, which publishes them: whoever sees the new cursor sees these as well.
    ints[STARTED] = started;
    ints[TIMEOUT] = 0;
    const before = (seq - 1) | 0;
    return compareExchange(ints, CURSOR, before, seq) === before;
  }

  describe(attempt: number, timeout: number): void {
    this.#ints[ATTEMPT] = attempt;
    store(this.#ints, TIMEOUT, timeout);
  }

  /** The result of `seq` lies in the result area and ends at `resultEnd`. */
  finish(seq: number, resultEnd: number): void {
    // Plain writes: the claim of the next task, or the message that is sent now, publishes them.
    this.#ints[RESULT_END] = resultEnd;
    this.#ints[DONE] = seq;
  }

  /** A line goes by message: until it is there, the main thread leaves the areas alone. */
  countSent(): void {
    add(this.#ints, SENT, 1);
  }

  /** What tasks have said lies in the log area up to `end`. */
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

  tellMemory(kib: number): void {
    store(this.#ints, MEMORY, kib);
    add(this.#ints, MEMORY_TOLD, 1);
  }

  setClosed(): void {
    store(this.#ints, CLOSED, 1);
  }

  /** Whether task `seq` shall stop. Costs a few nanoseconds: a tight loop may ask every round. */
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

  /** Takes back every task up to `last` that was not claimed; returns the last that was. */
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

  get memoryTold(): number {
    return load(this.#ints, MEMORY_TOLD);
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

  /** 0…1, or `undefined` where the task said nothing. */
  get progress(): number | undefined {
    const millionths = load(this.#ints, PROGRESS);
    return millionths === 0 ? undefined : (millionths - 1) / MILLION;
  }

  /**
   * The task that runs now. `slot` is its sequence number where the main thread knows it better than
   * the cursor, which take-backs move. `undefined` between two tasks.
   */
  runningTask(slot?: number): RunningTask | undefined {
    if (!this.running) return undefined;
    const cursor = this.cursor;
    const seq = slot ?? cursor;
    const started = load(this.#ints, STARTED);
    const timeout = load(this.#ints, TIMEOUT);
    // The worker writes the start of a task before it claims it, but after it is done with the last.
    if (this.done === seq || this.cursor !== cursor) return undefined;
    return { seq, started, timeout };
  }
}
