/**
 * The messages between the pool's main thread and one worker, over a port that only these two hold. A worker that runs
 * tasks gets leased tasks as the text that came from the server; its results are in the result ring, and a message only
 * says up to where. The inspector, a worker that runs no tasks, loads the task files, reports their ops, and checks
 * arguments by their schemas.
 */

import {
  MAX_ERROR_MESSAGE_CHARS,
  MAX_LINE_BYTES,
  MAX_PROGRESS_NOTE_CHARS,
  MAX_RESULT_BYTES,
} from "../../protocol/limits.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import type { TaskPermissions } from "../../protocol/pool_start.ts";
import type { SchemaFault, StopReason } from "../../protocol/work_message.ts";
import type { TaskModule } from "../ops/task_modules.ts";

/** The first message to a worker that runs tasks. With it come the port, and one that only wakes it (order_port.ts). */
export interface ThreadStart {
  /** Its row of the task table, and its rings. */
  share: SharedArrayBuffer;
  /** Task files to load first. */
  modules: readonly TaskModule[];
  /** The worker runs one task, and no other after it. */
  isolate: boolean;
}

/** Main thread to worker. */
export type ThreadOrder =
  /** Leased-task lines, joined by newlines; the first has the sequence number `seq`. */
  | { seq: number; lines: string }
  /** Ask the task `stop` to stop, if it is running. */
  | { stop: number; reason: StopReason }
  /** Let the heart beat once. */
  | { live: true }
  /** End the worker now. */
  | { die: true };

/** Worker to main thread. */
export type ThreadReport =
  /** The worker has loaded; the value is the time on its clock, in ms. */
  | { ready: number }
  /** The worker could not load. */
  | { broken: string }
  /**
   * All tasks up to `done` have ended. Their results end at `end` in the result ring, their log lines at `logEnd` in the
   * log ring. `line`: the last result, if it did not fit into the ring.
   */
  | { done: number; end: number; logEnd: number; line?: string }
  /** A log line of the task that ends now, which did not fit into the log ring. It comes after the lines up to `logEnd`. */
  | { said: string; logEnd: number }
  /** The running task `noted` reports this note of its progress. */
  | { noted: number; note: string }
  /** Code that belongs to no running task has failed or printed: for the operator. */
  | { strayed: string }
  /** A task has spoilt the worker for all tasks after it: it runs no more. */
  | { worn: true }
  /** A task has changed something that other tasks share: for the operator, once. */
  | { changed: string };

/** Most characters that a line has beside its result, or beside the message of its failure. */
const ENVELOPE_CHARS = 1024;

/** Whether `data` is a report. Task code can post anything, so all that comes over a port is checked. */
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

/** The first message to the inspector, with the same two ports. */
export interface InspectStart {
  inspect: readonly TaskModule[];
}

/** An op of a task file. */
export interface FoundOp {
  spec: OpSpec;
  /** Its place, like `tasks.ts:12`. */
  place: string;
  /** The permissions that it asks for; absent: the same as all ops. */
  permissions?: TaskPermissions;
}

/** Main thread to inspector: check these submits. */
export interface CheckOrder {
  check: number;
  submits: [op: string, line: string][];
}

/** Inspector to main thread. */
export type InspectReport =
  /** The next file that it loads, counted from 0. */
  | { loading: number }
  | { ops: FoundOp[] }
  /** A file does not load; `missing` is the URL of an import that does not exist. */
  | { fault: string; missing?: string }
  | { checked: number; faults: (SchemaFault | null)[] };
