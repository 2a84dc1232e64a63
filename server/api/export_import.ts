/**
 * Carries everything from one engine to another: `export` in pages, `import` in batches, `backup` as a file.
 * What is imported twice is there once: a record is known by its id, and one that differs is a conflict.
 */

import type { ImportAnswer } from "../../protocol/transfer.ts";
import { quote, SdError } from "../../protocol/errors.ts";
import { checkDepth, checkNumbers } from "../../protocol/json_guard.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Status } from "../../protocol/task.ts";
import { Breath } from "../breath.ts";
import type { Clock } from "../clock.ts";
import type { Asker, Backup, Engine, ListRequest, TaskRecord } from "../engine/engine.ts";
import type { NewTask } from "../task/new_task.ts";
import { charsOf } from "../task/task_log.ts";
import type { TaskEntry } from "./task_entry.ts";
import { atWall } from "./views.ts";
import { checkVersion, RECORD_VERSION, recordFromJson, recordToJson } from "./task_record_json.ts";

/** A part of the server whose settings are exported and imported. */
export interface SettingTaker {
  /** Of the names of its settings. */
  readonly prefix: string;
  /** Takes a setting up; false if it changes nothing. Throws `bad_request`, `conflict`. */
  take(name: string, value: string): Promise<boolean>;
}

export interface ExportRequest {
  readonly status?: Status;
  readonly op?: string;
  /** From the answer before. */
  readonly cursor?: string;
}

interface ExportPage {
  readonly records: readonly JsonObject[];
  readonly cursor: string | null;
}

/** Characters of records that make a page; a page of fewer records may be the last, or of large ones. */
const PAGE_CHARS = 2 * 1024 * 1024;
/** A page of one line: a client takes lines much longer than it sends. */
const MAX_PAGE_CHARS = 16 * 1024 * 1024;
const FIRST_PAGE = 32;
/** Tasks whose logs are asked for at a time: a log has 65,536 characters at most. */
const LOGS_AT_A_TIME = 50;
const MAX_PAGE = 500;
const MAX_CURSOR_CHARS = 200;
/** Imported tasks of one commit; submits of other clients wait for a single such commit. */
const MAX_ENTERED = 500;

export class Transfer {
  readonly #engine: Engine;
  readonly #entry: TaskEntry;
  readonly #takers: readonly SettingTaker[];
  readonly #clock: Pick<Clock, "aheadMs">;

  constructor(
    { engine, entry, takers, clock }: {
      readonly engine: Engine;
      readonly entry: TaskEntry;
      readonly takers: readonly SettingTaker[];
      readonly clock: Pick<Clock, "aheadMs">;
    },
  ) {
    this.#clock = clock;
    this.#engine = engine;
    this.#entry = entry;
    this.#takers = takers;
  }

  /** The next records, oldest first; the settings before all tasks, where all are asked for. */
  async exportPage(request: ExportRequest, asker?: Asker): Promise<ExportPage> {
    const isAll = request.status === undefined && request.op === undefined;
    if (request.cursor === undefined && isAll) {
      const records = this.#settings();
      if (records.length > 0) return { records, cursor: cursorOf(FIRST_PAGE, undefined) };
    }
    const { size, place } = readCursor(request.cursor);
    const list: ListRequest = {
      asker,
      oldestFirst: true,
      limit: size,
      ...(request.status === undefined ? {} : { status: request.status }),
      ...(request.op === undefined ? {} : { op: request.op }),
      ...(place === undefined ? {} : { cursor: place }),
    };
    const { tasks: listed, cursor } = await this.#engine.list(list);
    const tasks = await this.#withLogs(listed, asker);
    const chars = tasks.map(sizeOf);
    const fitting = countWithin(chars, MAX_PAGE_CHARS);
    if (fitting < tasks.length) {
      // Asked for again in fewer, since only the engine knows the cursor of a place.
      return await this.exportPage({ ...request, cursor: cursorOf(fitting, place) }, asker);
    }
    const average = chars.reduce((sum, next) => sum + next, 0) / Math.max(1, tasks.length);
    const next = Math.ceil(PAGE_CHARS / Math.max(1, average));
    return {
      records: tasks.map((task) => recordToJson(atWall(task, this.#clock.aheadMs))),
      cursor: cursor === undefined ? null : cursorOf(Math.min(next, MAX_PAGE), cursor),
    };
  }

  /** The tasks of a page, with their logs; it reads not much more than fits a page. */
  async #withLogs(
    listed: readonly TaskRecord[],
    asker: Asker | undefined,
  ): Promise<TaskRecord[]> {
    const tasks = [...listed];
    const logged = tasks.flatMap(({ history }, i) => history?.logged ? i : []);
    let chars = tasks.reduce((sum, task) => sum + sizeOf(task), 0);
    for (let at = 0; at < logged.length && chars <= MAX_PAGE_CHARS; at += LOGS_AT_A_TIME) {
      const places = logged.slice(at, at + LOGS_AT_A_TIME);
      const found = await this.#engine.get(places.map((i) => tasks[i]!.id), { log: true, asker });
      places.forEach((i, n) => {
        const whole = found[n];
        if (!whole) return;
        chars += sizeOf(whole) - sizeOf(tasks[i]!);
        tasks[i] = whole;
      });
    }
    return tasks;
  }

  /** Lines of records, empty ones passed over. */
  async importText(text: string): Promise<ImportAnswer> {
    return await this.#import(
      text.split("\n"),
      (line) => line.trim() === "" ? undefined : parse(line),
    );
  }

  /** Records of a message, which was checked as every message is. */
  async importRecords(records: readonly unknown[]): Promise<ImportAnswer> {
    return await this.#import(records, asObject);
  }

  /** Throws `bad_request` where the engine is no file. */
  async backup(): Promise<Backup> {
    const { backup, name } = this.#engine;
    if (backup) return await backup.call(this.#engine);
    throw new SdError(
      "bad_request",
      `engine ${name} keeps no file that could be backed up; carry its tasks with: sd export`,
    );
  }

  async #import<T>(
    items: readonly T[],
    read: (item: T) => JsonObject | undefined,
  ): Promise<ImportAnswer> {
    const answer: ImportAnswer = { imported: 0, existed: 0, conflicts: [], orphans: [], bad: [] };
    const tasks: NewTask[] = [];
    const taking = new Map<unknown, Promise<void>>();
    const breath = new Breath();
    /** Errors that end the import: a full disk, or a bug. */
    const faults: unknown[] = [];
    const refuse = (i: number, error: unknown) => {
      if (!(error instanceof SdError) || error.code === "storage_full") faults.push(error);
      else answer.bad.push({ record: i + 1, message: error.message });
    };
    const { serials } = this.#engine;
    for (const [i, item] of items.entries()) {
      await breath.takeIfLong();
      if (faults.length > 0) break;
      try {
        const record = read(item);
        if (!record) continue;
        if (record.setting === undefined) {
          tasks.push(recordFromJson(record, { serials, aheadMs: this.#clock.aheadMs }));
        } else {
          // All at once, so that they are one commit; one that is there twice sees the first.
          await taking.get(record.setting);
          const took = this.#takeSetting(record).then(
            (isNew) => void (isNew ? answer.imported++ : answer.existed++),
            (error) => refuse(i, error),
          );
          taking.set(record.setting, took);
        }
      } catch (error) {
        refuse(i, error);
      }
    }
    await Promise.all(taking.values());
    if (faults.length > 0) throw faults[0];
    answer.bad.sort((a, b) => a.record - b.record);
    for (let at = 0; at < tasks.length; at += MAX_ENTERED) {
      const some = tasks.slice(at, at + MAX_ENTERED);
      this.#count(some, await this.#entry.enter(some), answer);
    }
    return answer;
  }

  #count(
    tasks: readonly NewTask[],
    enqueued: Awaited<ReturnType<TaskEntry["enter"]>>,
    answer: ImportAnswer,
  ): void {
    enqueued.forEach(({ outcome, error }, i) => {
      const { id } = tasks[i]!;
      if (error) throw error;
      if (outcome === "created") answer.imported++;
      else if (outcome === "exists") answer.existed++;
      else if (outcome === "no_parent") answer.orphans.push(id);
      else answer.conflicts.push(id);
    });
  }

  #settings(): JsonObject[] {
    return this.#takers.flatMap(({ prefix }) => this.#engine.settings.list(prefix))
      .map(([setting, value]) => ({ sd: RECORD_VERSION, setting, value }));
  }

  async #takeSetting({ sd, setting, value, ...rest }: JsonObject): Promise<boolean> {
    checkVersion(sd);
    const taker = typeof setting === "string" &&
      this.#takers.find(({ prefix }) => setting.startsWith(prefix));
    if (!taker || typeof value !== "string" || Object.keys(rest).length > 0) {
      throw new SdError(
        "bad_request",
        `a setting has a name that is known here and a text; this is ${quote(setting)}`,
      );
    }
    return await taker.take(setting as string, value);
  }
}

/** Characters of a record. */
function sizeOf({ payload, result, log }: TaskRecord): number {
  return payload.length + (result?.length ?? 0) + (log ? charsOf(log) : 0);
}

function parse(line: string): JsonObject {
  checkDepth(line);
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new SdError("bad_request", `this is not JSON: ${quote(line)}`, { cause: error });
  }
  checkNumbers(line);
  return asObject(value);
}

function asObject(value: unknown): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as JsonObject;
  }
  throw new SdError(
    "bad_request",
    `a record is an object, as sd export writes them; this is ${quote(value)}`,
  );
}

/** How many of the first `sizes` are within `most` together; one at least. */
function countWithin(sizes: readonly number[], most: number): number {
  let sum = 0;
  const over = sizes.findIndex((size) => (sum += size) > most);
  return over < 0 ? sizes.length : Math.max(1, over);
}

/** How many records to ask the engine for, and from which place. */
function cursorOf(size: number, place: string | undefined): string {
  return `${size}:${place ?? ""}`;
}

function readCursor(cursor: string | undefined): { size: number; place: string | undefined } {
  if (cursor === undefined) return { size: FIRST_PAGE, place: undefined };
  const colon = cursor.indexOf(":");
  const size = /^\d{1,4}:/.test(cursor) ? Number(cursor.slice(0, colon)) : 0;
  if (size >= 1 && size <= MAX_PAGE && cursor.length <= MAX_CURSOR_CHARS) {
    return { size, place: cursor.slice(colon + 1) || undefined };
  }
  throw new SdError(
    "bad_request",
    `the cursor is one that export answered; this is ${quote(cursor)}`,
  );
}
