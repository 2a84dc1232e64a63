/**
 * What is still to be written. Whatever changes while one commit is under way is the next one, so commits
 * group themselves; a task that changes again before it is written is written once, as it is then. When a
 * commit fails, the tasks that were new in it are given up, and their clients told; everything else is
 * tried again until there is room.
 */

import { setImmediate } from "node:timers";
import { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import { type LiveTask, NOT_STORED } from "../live_task.ts";
import { pushFixed, pushState, storedStatusOf } from "./rows.ts";
import type { Cell, StoreFault, Write } from "./store_message.ts";

export interface JournalOptions {
  /** Commits; rejects with `fault` and `message`. */
  readonly write: (write: Write) => Promise<unknown>;
  /** Whether a new task may well be final in a moment. */
  readonly isPromising: (task: LiveTask) => boolean;
  /** A new task could not be stored. */
  readonly giveUp: (task: LiveTask) => void;
  /** A task is on disk as it is here, and nothing of it is needed here any more. */
  readonly release: (task: LiveTask) => void;
  /** The first failed commit in a row; `undefined`: commits succeed again. */
  readonly onTrouble: (error: SdError | undefined) => void;
}

/** Changes that are committed together. */
interface Batch {
  readonly tasks: LiveTask[];
  readonly settings: Map<string, string | null>;
  /** Resolves with nothing once it is committed, with the reason when it could not be. */
  readonly done: PromiseWithResolvers<SdError | undefined>;
}

/** An acknowledgement waits so long at most for its task to end. */
const LINGER_MS = Number(Deno.env.get("LINGER") ?? 1);
/** So many are worth a commit of their own. */
const RIPE_TASKS = Number(Deno.env.get("RIPE") ?? 4096);
/** After a commit that failed, when nobody asks for one sooner. */
const RETRY_MS = 200;

export class Journal {
  readonly #options: JournalOptions;
  #next = newBatch();
  #underWay: Batch | undefined;
  #isScheduled = false;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #trouble: SdError | undefined;
  /** New tasks in the next batch that may be final before it has to be written. */
  readonly #promising = new Set<LiveTask>();
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #ripeAt = 0;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** Why the last commit failed, while none has succeeded since. */
  get trouble(): SdError | undefined {
    return this.#trouble;
  }

  /** Changes that are not written yet. */
  get backlog(): number {
    return this.#next.tasks.length;
  }

  get isIdle(): boolean {
    return !this.#underWay && isEmpty(this.#next);
  }

  /** What is kept of `task` is out of date. */
  changed(task: LiveTask): void {
    if (task.isDirty) {
      if (!this.#promising.has(task) || !isFinal(task.state.status)) return;
      this.#promising.delete(task);
      if (this.#promising.size === 0) this.#schedule();
      return;
    }
    task.isDirty = true;
    this.#next.tasks.push(task);
    if (task.storedStatus === NOT_STORED && this.#options.isPromising(task)) {
      this.#promising.add(task);
    }
    this.#schedule();
  }

  setting(name: string, value: string | null): void {
    this.#next.settings.set(name, value);
    this.#schedule();
  }

  /** Resolves once everything that has changed so far is committed, however long that takes. */
  async committed(): Promise<void> {
    for (let batch = this.#last(); batch; batch = this.#last()) {
      if (await batch.done.promise === undefined) return;
    }
  }

  /** The same, but rejects with the reason when the first try fails; what can be is tried again. */
  async committedNow(): Promise<void> {
    const error = await this.#last()?.done.promise;
    if (error) throw error;
  }

  /** Gives up what could not be written. */
  close(): void {
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#lingerTimer);
    this.#retryTimer = undefined;
  }

  #last(): Batch | undefined {
    return isEmpty(this.#next) ? this.#underWay : this.#next;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#underWay) return;
    this.#isScheduled = true;
    // All that comes in together is written together.
    setImmediate(() => {
      this.#isScheduled = false;
      this.#flushIfRipe();
    });
  }

  /** Tasks that will be final in a moment are waited for: they are written once then. */
  #flushIfRipe(): void {
    if (this.#underWay || isEmpty(this.#next)) return;
    if (this.#promising.size === 0 || this.#next.tasks.length >= RIPE_TASKS) return this.#flush();
    const now = performance.now();
    if (this.#ripeAt === 0) this.#ripeAt = now + LINGER_MS;
    if (now >= this.#ripeAt) return this.#flush();
    this.#lingerTimer ??= setTimeout(() => {
      this.#lingerTimer = undefined;
      this.#flush();
    }, this.#ripeAt - now);
  }

  #flush(): void {
    if (this.#underWay || isEmpty(this.#next)) return;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    this.#ripeAt = 0;
    this.#promising.clear();
    const batch = this.#next;
    this.#next = newBatch();
    this.#underWay = batch;
    const before: number[] = [];
    const write = toWrite(batch, before);
    this.#options.write(write).then(
      () => this.#succeeded(batch),
      (error) => this.#failed(batch, before, error),
    );
  }

  #succeeded(batch: Batch): void {
    this.#underWay = undefined;
    if (this.#trouble) {
      this.#trouble = undefined;
      this.#options.onTrouble(undefined);
    }
    batch.done.resolve(undefined);
    const { release } = this.#options;
    for (const task of batch.tasks) {
      if (!task.isDirty && (task.isSpilled || isFinal(task.state.status))) release(task);
    }
    this.#flushIfRipe();
  }

  #failed(batch: Batch, before: readonly number[], reason: unknown): void {
    this.#underWay = undefined;
    const error = faultError(reason);
    if (!this.#trouble) this.#options.onTrouble(error);
    this.#trouble = error;
    const kept: LiveTask[] = [];
    batch.tasks.forEach((task, i) => {
      const stored = before[i] as number;
      task.storedStatus = stored;
      if (stored !== NOT_STORED) kept.push(task);
      // It may have changed since, and stand in the next batch as well.
      else task.isDirty = true;
    });
    for (const task of batch.tasks) {
      if (task.storedStatus === NOT_STORED) this.#options.giveUp(task);
    }
    this.#next = this.#merge(kept, batch.settings);
    batch.done.resolve(error);
    this.#retryTimer = setTimeout(() => this.#flush(), RETRY_MS);
  }

  /** The next batch, with what a failed one leaves before it and without what was given up. */
  #merge(kept: readonly LiveTask[], settings: Map<string, string | null>): Batch {
    const next = this.#next;
    const tasks = next.tasks.filter((task) => !task.isGone);
    for (const task of kept) {
      if (task.isDirty) continue;
      task.isDirty = true;
      tasks.push(task);
    }
    for (const [name, value] of settings) {
      if (!next.settings.has(name)) next.settings.set(name, value);
    }
    return { ...next, tasks };
  }
}

function newBatch(): Batch {
  return { tasks: [], settings: new Map(), done: Promise.withResolvers() };
}

function isEmpty({ tasks, settings }: Batch): boolean {
  return tasks.length === 0 && settings.size === 0;
}

/** `before` gets the status that each task had on disk. */
function toWrite({ tasks, settings }: Batch, before: number[]): Write {
  const inserts: Cell[] = [];
  const updates: Cell[] = [];
  for (const task of tasks) {
    const status = storedStatusOf(task);
    if (task.storedStatus === NOT_STORED) {
      pushFixed(inserts, task);
      pushState(inserts, task, status);
    } else {
      updates.push(task.serial, task.storedStatus);
      pushState(updates, task, status);
    }
    before.push(task.storedStatus);
    task.storedStatus = status;
    task.isDirty = false;
  }
  return { inserts, updates, settings: [...settings] };
}

/** What a client is told of a request to the store that failed. */
export function faultError(reason: unknown): SdError {
  const { fault, message } = reason as { fault?: StoreFault; message?: string };
  if (fault === "full") {
    return new SdError("storage_full", `there is no room to keep this: ${message}`, {
      retryAfterMs: RETRY_MS,
      cause: reason,
    });
  }
  if (fault === "io") {
    return new SdError("storage_full", `this could not be written: ${message}`, {
      retryAfterMs: RETRY_MS,
      cause: reason,
    });
  }
  return new SdError("internal", `the store does not work: ${message}`, { cause: reason });
}
