/**
 * The scheduler submits the tasks of recurring tasks when they are due. Each look has three steps: find the times that
 * have come, submit their tasks, save the progress. The id of a task is made of its time, so a crash between two steps,
 * or a second server on the engine, makes no task twice. `server.ts` starts it; `cron_api.ts` wakes it.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_CATCH_UP } from "../../protocol/limits.ts";
import type { Clock } from "../clock.ts";
import type { CronBook, CronEntry } from "../engine/cron_book.ts";
import type { Enqueued } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import { cronRun, cronRunId } from "../task/cron_task.ts";
import type { Serials } from "../task/task_id.ts";
import type { NewTask, TaskDefaults } from "../task/new_task.ts";

interface SchedulerOptions {
  readonly book: CronBook;
  readonly clock: Clock;
  readonly log: Log;
  /** The numbers of the engine that `submit` leads to. */
  readonly serials: Serials;
  /** Submits tasks; resolves with the outcome of each. */
  readonly submit: (tasks: readonly NewTask[]) => Promise<Enqueued[]>;
  /** Default options of an op, if it is known. */
  readonly defaultsOf?: (op: string) => TaskDefaults | undefined;
}

/** A recurring task between two looks. */
interface Plan {
  readonly createdAt: number;
  /** Times up to this one are in `owed`, submitted or left out. */
  reachedAt: number;
  /** The first time after `reachedAt`; `undefined` before the first look and while it is paused. */
  nextAt: number | undefined;
  /** Times that came, whose tasks no engine has taken yet; oldest first. */
  owed: number[];
  lastAt: number | undefined;
  /** The wall clock is before `reachedAt`, and the log says so. */
  isAhead: boolean;
}

/** A time that is noticed later than this counts as missed, in ms. A restart of a server takes less. */
const GRACE_MS = 10_000;
/** Longest pause between looks, in ms: half of `GRACE_MS`, so that a clock that jumps ahead causes no miss. */
const LOOK_MS = 5000;
/** Pause after the engine took no tasks, in ms. */
const RETRY_MS = 1000;
/** Longest wait of a clock that was set back for the last time that was submitted: with more, it was wrong before. */
const MAX_BACK_MS = 86_400_000;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #plans = new Map<string, Plan>();
  #started = false;
  #again = false;
  #isFailing = false;
  /** Server time of the last look, and how long before this one it was, in ms. */
  #lookedAt = Infinity;
  #sinceLookMs = 0;
  #loop: Promise<void> | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(options: SchedulerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#started = true;
    this.wake();
  }

  /** Submits nothing more; resolves when no look is under way. */
  async stop(): Promise<void> {
    this.#started = false;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    await this.#loop;
  }

  /** Looks now: a recurring task is new or has changed. */
  wake(): void {
    this.#again = true;
    if (!this.#started || this.#loop) return;
    this.#cancelTimer?.();
    this.#loop = this.#run().finally(() => {
      this.#loop = undefined;
      if (this.#again) this.wake();
    });
  }

  async #run(): Promise<void> {
    const { clock } = this.#options;
    let failed = false;
    while (this.#again && this.#started) {
      this.#again = false;
      failed = !await this.#look(clock.wall());
    }
    if (!this.#started) return;
    const waitMs = failed ? RETRY_MS : Math.min(this.#nextAt() - clock.wall(), LOOK_MS);
    this.#cancelTimer = clock.after(Math.max(0, waitMs), () => this.wake());
  }

  /** Makes one look; false if the engine did not take every task. */
  async #look(now: number): Promise<boolean> {
    const { book, clock, log } = this.#options;
    const serverNow = clock.now();
    this.#sinceLookMs = Math.min(Math.max(0, serverNow - this.#lookedAt), LOOK_MS);
    this.#lookedAt = serverNow;
    try {
      const entries = book.list();
      this.#forget(entries);
      for (const entry of entries) this.#notice(entry, now);
      const tookAll = await this.#submitOwed();
      await this.#save();
      if (tookAll && this.#isFailing) log.info("scheduler", "recurring tasks are submitted again");
      if (!tookAll) this.#logFailure("the queue is full");
      this.#isFailing = !tookAll;
      return tookAll;
    } catch (error) {
      if (error instanceof SdError) this.#logFailure(error.message);
      else log.bug("scheduler", error);
      this.#isFailing = true;
      return false;
    }
  }

  /** Removes the plans of recurring tasks that are gone, or gone and made again. */
  #forget(entries: readonly CronEntry[]): void {
    const createdAt = new Map(entries.map(({ task }) => [task.id, task.record.createdAt]));
    for (const [id, plan] of this.#plans) {
      if (createdAt.get(id) !== plan.createdAt) this.#plans.delete(id);
    }
  }

  /** Adds the times that have come to `owed`. */
  #notice(entry: CronEntry, now: number): void {
    const { id, rule, record } = entry.task;
    const plan = this.#planOf(entry);
    if (record.paused) {
      plan.nextAt = undefined;
      return;
    }
    this.#heedSetBack(id, plan, now);
    plan.nextAt ??= rule.nextAfter(plan.reachedAt) ?? Infinity;
    if (plan.nextAt > now) return;
    this.#owe(entry, plan, now);
    plan.reachedAt = now;
    plan.nextAt = rule.nextAfter(now) ?? Infinity;
  }

  /**
   * The wall clock was set back: goes on after the last time that was submitted, so that no time runs twice and none is
   * waited for that never ran. A clock that was wrong by more than a day is not waited for at all.
   */
  #heedSetBack(id: string, plan: Plan, now: number): void {
    const wasAhead = plan.isAhead;
    plan.isAhead = plan.reachedAt > now;
    if (!plan.isAhead) return;
    if (plan.lastAt !== undefined && plan.lastAt > now + MAX_BACK_MS) plan.lastAt = undefined;
    // It may have been set back right after the last look: what has come since has not been seen.
    const from = Math.max(now - this.#sinceLookMs, plan.lastAt ?? 0);
    if (from < plan.reachedAt) {
      plan.reachedAt = from;
      plan.nextAt = undefined;
    }
    if (wasAhead) return;
    this.#options.log.warn(
      "scheduler",
      `the clock was set back; the recurring task ${id} goes on after ${
        new Date(from).toISOString()
      }`,
    );
  }

  /** The times up to `now`, as `catch_up` says. */
  #owe({ task: { id, rule, record } }: CronEntry, plan: Plan, now: number): void {
    const { log } = this.#options;
    const { resumedAt } = record;
    // A time in the future is that of a clock that was set back since.
    const missedBefore = Math.max(now - GRACE_MS, resumedAt > now ? 0 : resumedAt);
    const { times, missed } = rule.due({ after: plan.reachedAt, until: now, missedBefore });
    if (missed) {
      const since = new Date(plan.reachedAt).toISOString();
      log.info(
        "scheduler",
        `the recurring task ${id} missed times since ${since}: ` +
          `catch_up ${rule.catchUp} submits ${times.length}`,
      );
    }
    plan.owed.push(...times);
    const tooMany = plan.owed.length - MAX_CATCH_UP;
    if (tooMany > 0) {
      plan.owed.splice(0, tooMany);
      log.warn("scheduler", `the recurring task ${id} lost ${tooMany} times: nothing took them`);
    }
  }

  #planOf({ task, reachedAt, lastAt }: CronEntry): Plan {
    let plan = this.#plans.get(task.id);
    if (!plan) {
      const { createdAt } = task.record;
      plan = { createdAt, reachedAt, nextAt: undefined, owed: [], lastAt, isAhead: false };
      this.#plans.set(task.id, plan);
    } else if (reachedAt > plan.reachedAt) {
      // Another server of this engine was faster.
      plan.reachedAt = reachedAt;
      plan.lastAt = lastAt;
      plan.nextAt = undefined;
      plan.owed = plan.owed.filter((time) => time > reachedAt);
    }
    return plan;
  }

  /** Submits every owed task; false if there was no room for all. */
  async #submitOwed(): Promise<boolean> {
    let batch: { id: string; plan: Plan; at: number; run: NewTask }[] = [];
    let tookAll = true;
    const flush = async () => {
      const enqueued = await this.#options.submit(batch.map(({ run }) => run));
      batch.forEach(({ id, plan, at }, i) => {
        const { outcome } = enqueued[i]!;
        if (outcome === "full" || outcome === "uncommitted") {
          tookAll = false;
          return;
        }
        if (outcome === "conflict") this.#logConflict(id, at);
        plan.owed = plan.owed.filter((time) => time !== at);
        plan.lastAt = Math.max(at, plan.lastAt ?? 0);
      });
      batch = [];
    };
    const { book, clock, serials, defaultsOf } = this.#options;
    for (const { task } of book.list()) {
      const plan = this.#plans.get(task.id);
      if (!plan || task.record.paused) continue;
      const defaults = defaultsOf?.(task.op);
      const creation = { now: clock.now(), serials };
      for (const at of plan.owed) {
        batch.push({ id: task.id, plan, at, run: cronRun(task, at, creation, defaults) });
      }
      if (batch.length >= MAX_CATCH_UP) await flush();
    }
    if (batch.length > 0) await flush();
    return tookAll;
  }

  /** Saves all progress at once, so that it is one commit. */
  async #save(): Promise<void> {
    const { book } = this.#options;
    const saves: Promise<void>[] = [];
    for (const { task, reachedAt } of book.list()) {
      const plan = this.#plans.get(task.id);
      if (!plan || plan.createdAt !== task.record.createdAt) continue;
      const [first] = plan.owed;
      const done = first === undefined ? plan.reachedAt : first - 1;
      if (done === reachedAt) continue;
      const { createdAt, lastAt } = plan;
      saves.push(book.saveProgress(task.id, { reachedAt: done, lastAt, of: createdAt }));
    }
    await Promise.all(saves);
  }

  #nextAt(): number {
    let nextAt = Infinity;
    for (const plan of this.#plans.values()) nextAt = Math.min(nextAt, plan.nextAt ?? Infinity);
    return nextAt;
  }

  #logFailure(reason: string): void {
    if (this.#isFailing) return;
    this.#options.log.warn(
      "scheduler",
      `recurring tasks cannot be submitted now, and are tried again: ${reason}`,
    );
  }

  #logConflict(id: string, at: number): void {
    this.#options.log.warn(
      "scheduler",
      `the recurring task ${id} left a time out: another task has the id ${cronRunId(id, at)}`,
    );
  }
}
