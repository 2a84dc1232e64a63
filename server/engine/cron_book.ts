/**
 * The recurring tasks in the settings of an engine. Each has two settings: its definition (`cron/ID`, written by the API)
 * and its progress (`cron_run/ID`, written by the scheduler). So neither overwrites the other, even if several servers
 * share the engine. A setting is parsed once.
 */

import { type CronRecord, type CronTask, readCronTask } from "../task/cron_task.ts";
import type { Settings } from "./engine.ts";

/** A recurring task with its progress. Times are ms since 1970. */
export interface CronEntry {
  readonly task: CronTask;
  /** All its times up to this one are submitted or left out. */
  readonly reachedAt: number;
  /** The last time for which a task was submitted. */
  readonly lastAt: number | undefined;
}

/** The progress as it is stored. A later release must still read it. */
interface CronProgress {
  readonly reachedAt: number;
  readonly lastAt?: number | undefined;
  /** `createdAt` of its recurring task; older releases left it out. */
  readonly of?: number;
}

interface Kept {
  readonly value: string;
  readonly progress: string | undefined;
  /** `undefined` if it cannot be read. */
  readonly entry: CronEntry | undefined;
}

/** The names of their settings, before the id. */
export const RECORD_PREFIX = "cron/";
export const PROGRESS_PREFIX = "cron_run/";

export class CronBook {
  readonly #settings: Settings;
  readonly #warn: (message: string) => void;
  readonly #kept = new Map<string, Kept>();

  /** `warn` gets a message for each recurring task that this release cannot read, once. */
  constructor(settings: Settings, warn: (message: string) => void) {
    this.#settings = settings;
    this.#warn = warn;
  }

  /** All recurring tasks, by id. */
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

  /** Adds `task`; false if there is one with its id. */
  add({ id, record }: CronTask): Promise<boolean> {
    const value = JSON.stringify(record);
    return this.#settings.replace(RECORD_PREFIX + id, { expected: undefined, value });
  }

  /** Keeps a change of `task`. */
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
      // An expression is costly to parse; a step of progress does not change it.
      const task = known?.entry && known.value === value
        ? known.entry.task
        : readCronTask(id, JSON.parse(value) as CronRecord);
      const { createdAt } = task.record;
      const come = progress === undefined ? undefined : JSON.parse(progress) as CronProgress;
      // A removed task can leave its progress to the next one with its id. The time alone does not distinguish that from
      // a task that was made while the clock was ahead.
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
