/**
 * The import of recurring tasks from another engine. The progress of a recurring task comes before the task itself,
 * so that no time is submitted a second time.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_CRONS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { type CronBook, PROGRESS_PREFIX, RECORD_PREFIX } from "../engine/cron_book.ts";
import type { Settings } from "../engine/engine.ts";
import {
  type CronRecord,
  isCronId,
  isCronMessage,
  isSameCron,
  newCronTask,
} from "../task/cron_task.ts";
import type { Serials } from "../task/task_id.ts";
import type { SettingTaker } from "./export_import.ts";

interface CronTransferOptions {
  readonly settings: Settings;
  readonly serials: Serials;
  readonly book: CronBook;
  /** Woken by every change. */
  readonly scheduler: { wake(): void };
}

/** Takers of the settings of recurring tasks, in the order in which the settings must come. */
export function cronTakers(options: CronTransferOptions): SettingTaker[] {
  const { settings, serials, book, scheduler } = options;
  /** Recurring tasks that are being saved; the settings do not count them yet. */
  let saving = 0;
  return [{
    prefix: PROGRESS_PREFIX,
    async take(name, value) {
      checkProgress(name, value);
      if (settings.get(name) !== undefined) return false;
      await settings.save(name, value);
      return true;
    },
  }, {
    prefix: RECORD_PREFIX,
    async take(name, value) {
      const id = name.slice(RECORD_PREFIX.length);
      const record = readRecord(id, { value, serials });
      const known = book.get(id);
      if (known) {
        // Whether it is paused is decided here, not by the record.
        if (isSameCron(known.task.record.line, record.line)) return false;
        throw new SdError("conflict", `there is another recurring task with the id ${quote(id)}`);
      }
      if (settings.list(RECORD_PREFIX).length + saving >= MAX_CRONS) {
        throw new SdError("queue_full", `there are ${MAX_CRONS} recurring tasks, the limit`);
      }
      saving++;
      try {
        await settings.save(name, value);
      } finally {
        saving--;
      }
      scheduler.wake();
      return true;
    },
  }];
}

function readRecord(
  id: string,
  { value, serials }: { value: string; serials: Serials },
): CronRecord {
  const { line, createdAt, paused, resumedAt } = parse(value);
  const isRecord = isCronId(id) && typeof line === "string" && isTime(createdAt) &&
    typeof paused === "boolean" && isTime(resumedAt);
  if (!isRecord) throw unreadable(`cron ${id}`, value);
  const message = parse(line);
  if (!isCronMessage(message)) throw unreadable(`cron ${id}`, value);
  const named = newCronTask(message, line, { now: createdAt, serials });
  if ((message.task as JsonObject).id !== undefined && named.id !== id) {
    throw unreadable(`cron ${id}`, value);
  }
  return { line, createdAt, paused, resumedAt };
}

function checkProgress(name: string, value: string): void {
  const { reachedAt, lastAt } = parse(value);
  const isProgress = isCronId(name.slice(PROGRESS_PREFIX.length)) && isTime(reachedAt) &&
    (lastAt === undefined || isTime(lastAt));
  if (!isProgress) throw unreadable(name, value);
}

/** Milliseconds since 1970. */
function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parse(text: string): JsonObject {
  try {
    const value = JSON.parse(text) as unknown;
    if (typeof value === "object" && value !== null) return value as JsonObject;
  } catch {
    // Refused below, like any other text that is no object.
  }
  throw unreadable("a setting", text);
}

function unreadable(what: string, value: string): SdError {
  return new SdError("bad_request", `${what} cannot be read: ${quote(value)}`);
}
