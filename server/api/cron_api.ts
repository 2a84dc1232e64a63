/**
 * The use cases of recurring tasks: make, list, pause, resume, remove. Changes run one at a time, so that two
 * clients that submit the same id cannot both make it.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_CRONS } from "../../protocol/limits.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { formatSecond, formatTime } from "../../protocol/text_forms.ts";
import type { CronAnswer, CronView } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { CronBook, CronEntry } from "../engine/cron_book.ts";
import { cronRunId, type CronTask, isSameCron, newCronTask } from "../task/cron_task.ts";
import type { Serials } from "../task/task_id.ts";
import type { SubmitCheck } from "./submit_check.ts";
import type { TaskEntry } from "./task_entry.ts";

interface CronApiOptions {
  readonly book: CronBook;
  readonly entry: Pick<TaskEntry, "checkOpen">;
  readonly clock: Pick<Clock, "wall">;
  readonly serials: Serials;
  readonly check: Pick<SubmitCheck, "checkOp" | "checkArguments">;
  /** Woken by every change. */
  readonly scheduler: { wake(): void };
}

export class CronApi {
  readonly #options: CronApiOptions;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: CronApiOptions) {
    this.#options = options;
  }

  /** Makes the recurring task that a submitted line asks for; resolves once it is committed. */
  async create(message: JsonObject, line: string): Promise<CronAnswer> {
    const { book, entry, clock, serials, check } = this.#options;
    const task = newCronTask(message, line, { now: clock.wall(), serials });
    entry.checkOpen();
    if (!book.get(task.id)) {
      check.checkOp(task.op);
      await check.checkArguments(task.op, line);
    }
    return await this.#inTurn(async () => {
      const known = book.get(task.id);
      if (known) {
        if (isSameCron(known.task.record.line, line)) return this.#answer(known);
        throw conflict(task.id);
      }
      if (book.list().length >= MAX_CRONS) {
        throw new SdError(
          "queue_full",
          `there are ${MAX_CRONS} recurring tasks, the limit; remove one with {"cmd":"uncron"}`,
        );
      }
      // Another server of the same store can have added one in between.
      if (!await book.add(task)) throw conflict(task.id);
      return this.#changed(task.id);
    });
  }

  list(): { crons: CronView[] } {
    return { crons: this.#options.book.list().map((entry) => this.#view(entry)) };
  }

  pause(id: string): Promise<CronAnswer> {
    return this.#inTurn(async () => {
      const { task } = this.#find(id);
      if (task.record.paused) return this.#answer(this.#find(id));
      return await this.#keep({ ...task, record: { ...task.record, paused: true } });
    });
  }

  /** Times that passed meanwhile are treated as `catch_up` says. */
  resume(id: string): Promise<CronAnswer> {
    return this.#inTurn(async () => {
      const { task } = this.#find(id);
      if (!task.record.paused) return this.#answer(this.#find(id));
      const resumedAt = this.#options.clock.wall();
      return await this.#keep({ ...task, record: { ...task.record, paused: false, resumedAt } });
    });
  }

  /** Removes a recurring task; tasks that it has submitted go on. */
  remove(id: string): Promise<CronAnswer> {
    return this.#inTurn(async () => {
      this.#find(id);
      await this.#options.book.remove(id);
      this.#options.scheduler.wake();
      return { cron_id: id, status: "removed" };
    });
  }

  async #keep(task: CronTask): Promise<CronAnswer> {
    await this.#options.book.save(task);
    return this.#changed(task.id);
  }

  #changed(id: string): CronAnswer {
    this.#options.scheduler.wake();
    return this.#answer(this.#find(id));
  }

  #find(id: string): CronEntry {
    const entry = this.#options.book.get(id);
    if (entry) return entry;
    throw new SdError("not_found", `there is no recurring task ${quote(id)}`);
  }

  #answer(entry: CronEntry): CronAnswer {
    const { id: cron_id, record } = entry.task;
    if (record.paused) return { cron_id, status: "paused" };
    return { cron_id, status: "scheduled", ...this.#next(entry) };
  }

  #next({ task, reachedAt }: CronEntry): { next_at?: string } {
    const nextAt = task.rule.nextAfter(Math.max(reachedAt, this.#options.clock.wall()));
    return nextAt === undefined ? {} : { next_at: formatSecond(nextAt) };
  }

  #view(entry: CronEntry): CronView {
    const { task: { id, op, rule, record }, lastAt } = entry;
    return {
      cron_id: id,
      op,
      cron: rule.expression,
      tz: rule.tz,
      catch_up: rule.catchUp,
      paused: record.paused,
      ...(record.paused ? {} : this.#next(entry)),
      ...(lastAt === undefined
        ? {}
        : { last_at: formatSecond(lastAt), last_task_id: cronRunId(id, lastAt) }),
      created_at: formatTime(record.createdAt),
    };
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const mine = before.then(work);
    // The next change waits for the end of this one, good or bad.
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }
}

function conflict(id: string): SdError {
  return new SdError(
    "conflict",
    `there is another recurring task with the id "${id}": its op, its arguments or its options differ; ` +
      `remove it first, with {"cmd":"uncron","cron_id":"${id}"}, or give another id`,
  );
}
