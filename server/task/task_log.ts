/**
 * The log of a task: the newest entries of all its runs, numbered, within bounds. Pure. To change the members of an
 * entry, change its stored text here, and keep reading the old text.
 */

import { MAX_LOG_CHARS, MAX_LOG_ENTRIES } from "../../protocol/limits.ts";
import { formatTime } from "../../protocol/text_forms.ts";
import { LOG_LEVELS, type LogLevel, type LogLine } from "../../protocol/task.ts";

export interface LoggedEntry {
  /** Number of the entry in the task, counted from 1. */
  readonly n: number;
  /** ms since 1970. */
  readonly at: number;
  readonly attempt: number;
  /** Number of times that `retry` had run the task again. */
  readonly retries: number;
  readonly level: LogLevel;
  readonly text: string;
}

/** One entry or more, the oldest first. */
export type TaskLog = readonly LoggedEntry[];

/** The newest of `entries` within the bounds; the newest one in any case. */
export function bounded(entries: TaskLog): TaskLog {
  let first = entries.length;
  for (let chars = 0; first > 0 && entries.length - first < MAX_LOG_ENTRIES; first--) {
    chars += entries[first - 1]!.text.length;
    if (chars > MAX_LOG_CHARS && first < entries.length) break;
  }
  return first === 0 ? entries : entries.slice(first);
}

/** `before` and the `later` entries, within the bounds. */
export function joined(before: TaskLog | undefined, later: TaskLog): TaskLog {
  return before ? bounded([...before, ...later]) : later;
}

/** The number of entries so far, including dropped ones. */
export function countOf(log: TaskLog): number {
  return log.at(-1)?.n ?? 0;
}

/** The size of `log` in characters, as it counts against limits. */
export function charsOf(log: TaskLog): number {
  return log.reduce((sum, { text }) => sum + text.length + ENTRY_CHARS, 0);
}

/** Fixed cost of an entry, in characters. */
const ENTRY_CHARS = 32;

type StoredEntry = readonly [
  n: number,
  at: number,
  attempt: number,
  retries: number,
  level: number,
  text: string,
];

/** `log` as it is stored. */
export function logToText(log: TaskLog): string {
  return JSON.stringify(
    log.map(({ n, at, attempt, retries, level, text }): StoredEntry => [
      n,
      at,
      attempt,
      retries,
      LOG_LEVELS.indexOf(level),
      text,
    ]),
  );
}

/** The log that `logToText` wrote. */
export function logFromText(stored: string): TaskLog {
  return (JSON.parse(stored) as StoredEntry[]).map(([n, at, attempt, retries, level, text]) => ({
    n,
    at,
    attempt,
    retries,
    level: LOG_LEVELS[level] ?? "info",
    text,
  }));
}

/** An entry as clients read it. */
export function logLine({ n, at, attempt, retries, level, text }: LoggedEntry): LogLine {
  return { n, at: formatTime(at), attempt, ...(retries > 0 && { retry: retries }), level, text };
}
