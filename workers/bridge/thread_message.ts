/**
 * What passes between the pool's main thread and one worker, over a port that only those two hold.
 * Leased tasks travel as the text that came from the server; results lie in the result area, and a
 * message only says how far they go.
 */

import {
  MAX_ERROR_MESSAGE_CHARS,
  MAX_LINE_BYTES,
  MAX_PROGRESS_NOTE_CHARS,
  MAX_RESULT_BYTES,
} from "../../protocol/limits.ts";
import type { StopReason } from "../../protocol/work_message.ts";
import type { TaskModule } from "../ops/task_modules.ts";

/** The first message to a worker, with the port beside it, and one that only wakes it (order_port.ts). */
export interface ThreadStart {
  /** Its row of the task table, and the area of its results. */
  share: SharedArrayBuffer;
  /** Task files to load first. */
  modules: readonly TaskModule[];
  /** It will run one task, and no other after it. */
  isolate: boolean;
}

/** Main thread to worker. */
export type ThreadOrder =
  /** Leased-task lines, joined by newlines; the first has the sequence number `seq`. */
  | { seq: number; lines: string }
  /** Ask the task `stop`, if it is running, to stop. */
  | { stop: number; reason: StopReason }
  /** Let the heart beat once. */
  | { live: true }
  /** End the worker now. */
  | { die: true };

/** Worker to main thread. */
export type ThreadReport =
  /** The worker has loaded; the time is that on its clock, in ms. */
  | { ready: number }
  /** It could not load. */
  | { broken: string }
  /**
   * Done up to the task `done`; the results in the result area end at `end`, what those tasks have said in the log
   * area at `logEnd`; then comes `line`.
   */
  | { done: number; end: number; logEnd: number; line?: string }
  /** What the task that ends now has said and the log area has no room for, behind what lies there up to `logEnd`. */
  | { said: string; logEnd: number }
  /** What the running task `noted` says of its progress. */
  | { noted: number; note: string }
  /** An error of something that no running task has begun, or what was printed when none ran: for the operator. */
  | { strayed: string }
  /** A task has spoilt the worker for all that come after it: it runs no more. */
  | { worn: true }
  /** What a task has changed that others share: for the operator, once. */
  | { changed: string };

/** The characters of a result's envelope, and of a failure's beside its message, are fewer. */
const ENVELOPE_CHARS = 1024;

/** Whether `data` is what a worker may say: what came over a port may be anything. */
export function isThreadReport(data: unknown): data is ThreadReport {
  if (typeof data !== "object" || data === null) return false;
  const { ready, broken, done, end, logEnd, line, said, noted, note, strayed, worn, changed } =
    data as Record<string, unknown>;
  if (said !== undefined) return isInt32(logEnd) && isText(said, MAX_LINE_BYTES);
  if (done !== undefined) {
    return isInt32(done) && isInt32(end) && isInt32(logEnd) &&
      (line === undefined || isText(line, MAX_RESULT_BYTES + ENVELOPE_CHARS));
  }
  if (noted !== undefined) return isInt32(noted) && isText(note, MAX_PROGRESS_NOTE_CHARS);
  if (ready !== undefined) return typeof ready === "number" && Number.isFinite(ready);
  if (broken !== undefined) return typeof broken === "string";
  if (changed !== undefined) return isText(changed, MAX_ERROR_MESSAGE_CHARS);
  return worn === true || isText(strayed, MAX_ERROR_MESSAGE_CHARS);
}

function isInt32(value: unknown): value is number {
  return typeof value === "number" && (value | 0) === value;
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === "string" && value.length <= maxChars;
}
