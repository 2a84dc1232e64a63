/**
 * The log of one run of a task while it goes on, numbered and within bounds, and what all runs of a task leave beside
 * its result. An engine keeps both when the run has ended.
 */

import { cutText } from "../../protocol/errors.ts";
import { MAX_LOG_CHARS, MAX_LOG_ENTRIES, MAX_LOG_ENTRY_CHARS } from "../../protocol/limits.ts";
import { LOG_LEVELS } from "../../protocol/task.ts";
import type { LogEntry } from "../../protocol/work_message.ts";
import { countOf, type LoggedEntry, type TaskLog } from "./task_log.ts";

/** The latest time of a `Date`, in ms since 1970. */
const MAX_TIME = 8.64e15;

interface LoggingTask {
  readonly attempt: number;
  readonly history: RunHistory | undefined;
}

export class RunLog {
  readonly #attempt: number;
  readonly #retries: number;
  readonly #entries: LoggedEntry[] = [];
  #last: number;
  #chars = 0;

  /** Of the run that `task` is in now. */
  constructor({ attempt, history }: LoggingTask) {
    this.#attempt = attempt;
    this.#retries = history?.retries ?? 0;
    this.#last = history?.logged ?? 0;
  }

  /** The newest of it, as it is now. */
  get log(): TaskLog {
    return [...this.#entries];
  }

  /** Takes what the task has said; `dropped` entries before it were lost on the way. */
  add(entries: readonly LogEntry[], dropped = 0): readonly LoggedEntry[] {
    this.#last += dropped;
    const added = entries.map((entry) => this.#entryOf(entry));
    for (const entry of added) {
      this.#entries.push(entry);
      this.#chars += entry.text.length;
    }
    while (this.#entries.length > MAX_LOG_ENTRIES || this.#chars > MAX_LOG_CHARS) {
      this.#chars -= this.#entries.shift()!.text.length;
    }
    return added;
  }

  #entryOf([at, level, text]: LogEntry): LoggedEntry {
    return {
      n: ++this.#last,
      at: Number.isInteger(at) && at >= 0 && at <= MAX_TIME ? at : 0,
      attempt: this.#attempt,
      retries: this.#retries,
      level: LOG_LEVELS.includes(level) ? level : "info",
      text: cutText(text, MAX_LOG_ENTRY_CHARS),
    };
  }
}

export interface RunHistory {
  /** Of the task file that its last attempt ran; `undefined` for a built-in op. */
  readonly version: string | undefined;
  /** How many entries its log has had. */
  readonly logged: number;
  /** How often it was run again by `retry`. */
  readonly retries: number;
}

const NO_HISTORY: RunHistory = { version: undefined, logged: 0, retries: 0 };

/** After the task was handed to a worker process of that version. */
export function ranBy(history: RunHistory | undefined, version: string | undefined): RunHistory {
  return { ...history ?? NO_HISTORY, version };
}

/** After a run that has said `log`. */
export function said(history: RunHistory | undefined, log: TaskLog): RunHistory {
  return { ...history ?? NO_HISTORY, logged: countOf(log) };
}

/** The history after a client has had the task run again. A task without a history needs none. */
export function retried(history: RunHistory | undefined): RunHistory | undefined {
  return history && { ...history, retries: history.retries + 1 };
}
