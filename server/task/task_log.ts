/**
 * What a task said, as it is kept: the newest entries of all its runs, numbered, within bounds. Pure. To
 * change what an entry holds: change the text that stores it here, and read the old one as well.
 */

import { MAX_LOG_CHARS, MAX_LOG_ENTRIES } from "../../protocol/limits.ts";
import { formatTime } from "../../protocol/text_forms.ts";
import { LOG_LEVELS, type LogLevel, type LogLine } from "../../protocol/task.ts";

export interface LoggedEntry {
  /** Counts what the task said from 1. */
  readonly n: number;
  /** ms since 1970. */
  readonly at: number;
  readonly attempt: number;
  /** How often it had been run again by `retry`. */
  readonly retries: number;
  readonly level: LogLevel;
  readonly text: string;
}

/** Oldest first; one at least. */
export type TaskLog = readonly LoggedEntry[];

/** The newest of `entries`, as many as may be kept; the newest itself in any case. */
export function bounded(entries: TaskLog): TaskLog {
  let first = entries.length;
  for (let chars = 0; first > 0 && entries.length - first < MAX_LOG_ENTRIES; first--) {
    chars += entries[first - 1]!.text.length;
    if (chars > MAX_LOG_CHARS && first < entries.length) break;
  }
  return first === 0 ? entries : entries.slice(first);
}

/** `before`, and behind it what was said later. */
export function joined(before: TaskLog | undefined, later: TaskLog): TaskLog {
  return before ? bounded([...before, ...later]) : later;
}

/** How many entries there have been, dropped ones included. */
export function countOf(log: TaskLog): number {
  return log.at(-1)?.n ?? 0;
}

/** What it takes to keep `log`. */
export function charsOf(log: TaskLog): number {
  return log.reduce((sum, { text }) => sum + text.length + ENTRY_CHARS, 0);
}

/** What an entry costs beside its text. */
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
