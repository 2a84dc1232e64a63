/**
 * What the runs of a task left, in the records that `export` writes and `import` reads: the version that ran it
 * last, and its log as `logs` tells it. Pure. What comes in is checked to the last member.
 */

import {
  MAX_ATTEMPTS,
  MAX_LOG_CHARS,
  MAX_LOG_ENTRIES,
  MAX_LOG_ENTRY_CHARS,
} from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { LOG_LEVELS } from "../../protocol/task.ts";
import type { TaskRecord } from "../engine/engine.ts";
import { countOf, type LoggedEntry, logLine, type TaskLog } from "../task/task_log.ts";
import type { RunHistory } from "../task/run_history.ts";
import { Fields, wrong } from "../../protocol/fields.ts";

const VERSION = /^[0-9a-f]{12}$/;
const COUNT = { min: 1, max: Number.MAX_SAFE_INTEGER };

/** The members of a record that tell it; none for most tasks. */
export function trailMembers({ trail, log }: TaskRecord): JsonObject {
  return {
    ...(trail?.version !== undefined && { version: trail.version }),
    ...(log && { log: log.map(logLine) }),
  };
}

export function readTrail(
  fields: Fields,
): { readonly trail: RunHistory | undefined; readonly log: TaskLog | undefined } {
  const version = readVersion(fields.raw("version"));
  const log = readLog(fields.raw("log"));
  if (version === undefined && !log) return { trail: undefined, log };
  const logged = log ? countOf(log) : 0;
  return { trail: { version, logged, retries: log?.at(-1)?.retries ?? 0 }, log };
}

function readVersion(version: unknown): string | undefined {
  if (version === undefined) return undefined;
  if (typeof version === "string" && VERSION.test(version)) return version;
  throw wrong("version", "12 hex digits", version);
}

function readLog(log: unknown): TaskLog | undefined {
  if (log === undefined) return undefined;
  if (!Array.isArray(log) || log.length === 0 || log.length > MAX_LOG_ENTRIES) {
    throw wrong("log", `an array of 1 to ${MAX_LOG_ENTRIES} entries`, log);
  }
  const entries = log.map(readEntry);
  const chars = entries.reduce((sum, { text }) => sum + text.length, 0);
  if (chars > MAX_LOG_CHARS) {
    throw wrong("log", `entries of at most ${MAX_LOG_CHARS} characters together`, chars);
  }
  entries.reduce((before, { n }) => {
    if (n <= before) throw wrong("n", `more than that of the entry before, ${before}`, n);
    return n;
  }, 0);
  return entries;
}

function readEntry(value: unknown): LoggedEntry {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong("log", "made of objects, as sd export writes them", value);
  }
  const fields = new Fields(value as JsonObject);
  const entry: LoggedEntry = {
    n: fields.integer("n", COUNT, 0),
    at: fields.time("at", 0),
    attempt: fields.integer("attempt", { min: 1, max: MAX_ATTEMPTS }, 1),
    retries: fields.integer("retry", COUNT, 0),
    level: fields.oneOf("level", LOG_LEVELS),
    text: fields.text("text", MAX_LOG_ENTRY_CHARS) ?? "",
  };
  fields.checkAll();
  return entry;
}
