/**
 * What passes between the pool's main thread and one worker, over a port that only those two hold.
 * Leased tasks travel as the text that came from the server; results lie in the result area, and a
 * message only says how far they go.
 */

import type { StopReason } from "../protocol/work_message.ts";

/** The first message to a worker, with the port beside it. */
export interface ThreadStart {
  table: SharedArrayBuffer;
  /** Rows in the table, and which one is the worker's. */
  workers: number;
  row: number;
}

/** Main thread to worker. */
export type ThreadOrder =
  /** Leased-task lines, joined by newlines; the first has the sequence number `seq`. */
  | { seq: number; lines: string }
  /** Ask the task `stop`, if it is running, to stop. */
  | { stop: number; reason: StopReason }
  /** End the worker now. */
  | { die: true };

/** Worker to main thread. */
export type ThreadReport =
  /** The worker has loaded; the time is that on its clock, in ms. */
  | { ready: number }
  /**
   * Done up to the task `done`; the results in the result area end at `end`, what those tasks have said in the log
   * area at `logEnd`; then comes `line`.
   */
  | { done: number; end: number; logEnd: number; line?: string }
  /** What the task that ends now has said and the log area has no room for, behind what lies there up to `logEnd`. */
  | { said: string; logEnd: number }
  /** What was printed when no task ran. */
  | { stray: string }
  /** What the running task `noted` says of its progress. */
  | { noted: number; note: string };
