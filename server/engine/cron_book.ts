/**
 * The recurring tasks in the settings of an engine. Two settings each: what it is (`cron/ID`, written
 * by who submits or pauses it) and how far it has come (`cron_run/ID`, written by the scheduler), so that
 * neither overwrites the other, also where several servers share the engine. Each is read once.
 */

import { type CronRecord, type CronTask, readCronTask } from "../task/cron_task.ts";
import type { Settings } from "./engine.ts";

/** A recurring task, and how far it has come. Times are ms since 1970. */
export interface CronEntry {
  readonly task: CronTask;
  /** All of its times up to this one are submitted or left out. */
  readonly reachedAt: number;
  /** The last time for which a task was submitted. */
  readonly lastAt: number | undefined;
}

/** As it is kept. */
interface CronProgress {
  readonly reachedAt: number;
  readonly lastAt?: number | undefined;
  /** `createdAt` of the record that it is the progress of; older releases do not say. */
  readonly of?: number;
}

interface Kept {
  readonly value: string;
  readonly progress: string | undefined;
  /** `undefined` where it cannot be read. */
  readonly entry: CronEntry | undefined;
}

/** What their settings are called before the id. */
export const RECORD_PREFIX = "cron/";
export const PROGRESS_PREFIX = "cron_run/";

export class CronBook {
  readonly #settings: Settings;
  readonly #warn: (message: string) => void;
  readonly #kept = new Map<string, Kept>();

  /** `warn` is told of those that this release cannot read, once each. */
  constructor(settings: Settings, warn: (message: string) => void) {
    this.#settings = settings;
    this.#warn = warn;
  }

  /** All of them, by id. */
  list(): CronEntry[] {
    const names = this.#settings.list(RECORD_PREFIX).map(([name]) =>
      name.slice(RECORD_PREFIX.length)
    );
    return names.sort().flatMap((id) => this.get(id) ?? []);
  }

  get(id: string): CronEntry | undefined {
    const value = this.#settings.get(RECORD_PREFIX + id);
    const progress = this.#settings.get(PROGRESS_PREFIX + id);
    const known = this.#kept.get(id);
    if (value === undefined) {
      this.#kept.delete(id);
      return undefined;
    }
    if (known && known.value === value && known.progress === progress) return known.entry;
    const entry = this.#read(id, value, progress, known);
    this.#kept.set(id, { value, progress, entry });
    return entry;
  }

  /** Keeps `task`, new or changed. */
  async save({ id, record }: CronTask): Promise<void> {
    await this.#settings.save(RECORD_PREFIX + id, JSON.stringify(record));
  }

  async remove(id: string): Promise<void> {
    await this.#settings.save(RECORD_PREFIX + id, undefined);
    if (this.#settings.get(PROGRESS_PREFIX + id) !== undefined) {
      await this.#settings.save(PROGRESS_PREFIX + id, undefined);
    }
  }

  async saveProgress(id: string, progress: CronProgress): Promise<void> {
    await this.#settings.save(PROGRESS_PREFIX + id, JSON.stringify(progress));
  }

  #read(
    id: string,
    value: string,
    progress: string | undefined,
    known: Kept | undefined,
  ): CronEntry | undefined {
    try {
      // The times of an expression are costly to take apart; a step of progress leaves them alone.
      const task = known?.entry && known.value === value
        ? known.entry.task
        : readCronTask(id, JSON.parse(value) as CronRecord);
      const { createdAt } = task.record;
      const come = progress === undefined ? undefined : JSON.parse(progress) as CronProgress;
      // One that was removed may have left its progress to the next with its id. By the time alone a task whose clock
      // was ahead when it was made cannot be told from that.
      if (!come || (come.of === undefined ? come.reachedAt < createdAt : come.of !== createdAt)) {
        return { task, reachedAt: createdAt, lastAt: undefined };
      }
      return { task, reachedAt: come.reachedAt, lastAt: come.lastAt };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#warn(`the recurring task ${id} cannot be read, and does not run: ${reason}`);
      return undefined;
    }
  }
}
