/**
 * What is still to be written. Whatever changes while one commit is under way is the next one, so commits
 * group themselves; a task that changes again before it is written is written once, as it is then. New tasks
 * that may end in a moment stand back for one commit, or a millisecond when there is none. When a commit
 * fails, the new tasks in it are given up, and their clients told; everything else is tried again.
 */

import { setImmediate } from "node:timers";
import { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import type { FinishedTask } from "../../task/finished_task.ts";
import { joined, logToText, type TaskLog } from "../../task/task_log.ts";
import type { EndedSink } from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import { pushFixed, pushState, storedStatusOf } from "./rows.ts";
import { NOT_STORED, rowOf } from "./stored_state.ts";
import type { Cell, StoreFault, Write } from "./task_store.ts";

export interface JournalOptions {
  /** Commits; rejects with `fault` and `message`. */
  readonly write: (write: Write) => Promise<unknown>;
  /** Whether a new task may well be final in a moment. */
  readonly isPromising: (task: LiveTask) => boolean;
  /** A setting to write along with whatever is written; there is always one if it is `needed`. */
  readonly along: (needed: boolean) => readonly [name: string, value: string] | undefined;
  /** A new task could not be stored. */
  readonly giveUp: (task: LiveTask) => void;
  /** A task is on disk as it is here, and nothing of it is needed here any more. */
  readonly release: (task: LiveTask) => void;
  /** Receives the ends of a batch once it is committed, in their order. */
  readonly ended: EndedSink;
  /** The first failed commit in a row; `undefined`: commits succeed again. */
  readonly onTrouble: (error: SdError | undefined) => void;
}

/** Changes that are committed together. */
interface Batch {
  readonly tasks: LiveTask[];
  /** What runs of some of them have said. */
  readonly logs: Map<LiveTask, TaskLog>;
  readonly settings: Map<string, string | null>;
  /** Ends that its commit makes final, in their order; all are of its tasks. */
  readonly ended: FinishedTask[];
  /** Resolves with nothing once it is committed, with the reason when it could not be. */
  readonly done: PromiseWithResolvers<SdError | undefined>;
}

/** An acknowledgement waits so long at most for its task to end, where no commit is under way. */
const LINGER_MS = 1;
/** Nothing is leased while more changes than this could not be written. */
const MAX_UNWRITTEN = 1000;
/** After a commit that failed, when nobody asks for one sooner. */
const RETRY_MS = 200;
/** The same when nothing is left to write: only a commit shows that the disk takes something again. */
const PROBE_MS = 1000;

export class Journal {
  readonly #options: JournalOptions;
  #next = newBatch();
  #underWay: Batch | undefined;
  /** Promising tasks since the last commit began, */
  #fresh = new Set<LiveTask>();
  /** and those from before it, which stood back then. */
  #stale = new Set<LiveTask>();
  #isScheduled = false;
  #isClosed = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #trouble: SdError | undefined;

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

  /** Too much could not be written: what ran now would have nowhere to leave its result. */
  get isStuck(): boolean {
    return this.#trouble !== undefined && this.backlog > MAX_UNWRITTEN;
  }

  get isIdle(): boolean {
    return !this.#underWay && isEmpty(this.#next) && this.#fresh.size + this.#stale.size === 0;
  }

  /** What is kept of `task` is out of date. */
  changed(task: LiveTask): void {
    const row = rowOf(task);
    if (row.isDirty) {
      if (this.#fresh.delete(task) || this.#stale.delete(task)) this.#add(task);
      return;
    }
    row.isDirty = true;
    if (row.storedStatus !== NOT_STORED || !this.#options.isPromising(task)) {
      return this.#add(task);
    }
    this.#fresh.add(task);
    this.#schedule();
  }

  /** These tasks, each of which was reported as `changed`, are final: their ends are published with their commit. */
  ended(tasks: readonly FinishedTask[]): void {
    const { ended } = this.#next;
    for (const task of tasks) ended.push(task);
  }

  /** A run of `task` has said this; call `changed` after it. */
  said(task: LiveTask, log: TaskLog): void {
    const { logs } = this.#next;
    logs.set(task, joined(logs.get(task), log));
  }

  /** Resolves once it is committed; rejects if the commit that it is in fails: it is not tried again then. */
  async setting(name: string, value: string | null): Promise<void> {
    const { settings, done } = this.#next;
    settings.set(name, value);
    this.#schedule();
    const error = await done.promise;
    if (error) throw error;
  }

  /** Resolves once everything that has ended so far is committed, however long that takes. */
  async committed(): Promise<void> {
    for (let batch = this.#last(); batch; batch = this.#last()) {
      if (await batch.done.promise === undefined) return;
    }
  }

  /** The same, but rejects with the reason when the first try fails; what can be is tried again. */
  async committedNow(): Promise<void> {
    const next = isEmpty(this.#next) ? undefined : this.#next;
    for (const batch of [this.#underWay, next]) {
      const error = await batch?.done.promise;
      if (error) throw error;
    }
  }

  /** Lets nothing stand back: what `committed` waits for now is everything. */
  hurry(): void {
    for (const task of this.#stale) this.#next.tasks.push(task);
    for (const task of this.#fresh) this.#next.tasks.push(task);
    this.#stale.clear();
    this.#fresh.clear();
    if (!isEmpty(this.#next)) this.#schedule();
  }

  /** Gives up what could not be written. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#lingerTimer);
  }

  #add(task: LiveTask): void {
    this.#next.tasks.push(task);
    this.#schedule();
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
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#underWay) return;
    const isProbe = this.#trouble && this.#fresh.size === 0 && !this.#isClosed;
    if (isEmpty(this.#next) && this.#stale.size === 0 && !isProbe) return this.#linger();
    clearTimeout(this.#retryTimer);
    clearTimeout(this.#lingerTimer);
    this.#lingerTimer = undefined;
    for (const task of this.#stale) this.#next.tasks.push(task);
    this.#stale = this.#fresh;
    this.#fresh = new Set();
    const batch = this.#next;
    // One that a failed commit had along is lost: so each has it, until one succeeds.
    const along = this.#options.along(this.#trouble !== undefined);
    if (along) batch.settings.set(...along);
    this.#next = newBatch();
    this.#underWay = batch;
    const { write, before, after } = toWrite(batch);
    this.#options.write(write).then(
      () => this.#succeeded(batch, after),
      (error) => this.#failed(batch, before, error),
    );
  }

  /** Nothing has to be written but tasks that may end in a moment: gives them that moment. */
  #linger(): void {
    if (this.#fresh.size === 0 || this.#isClosed) return;
    this.#lingerTimer ??= setTimeout(() => {
      this.#lingerTimer = undefined;
      this.hurry();
      this.#flush();
    }, LINGER_MS);
  }

  #succeeded(batch: Batch, after: readonly number[]): void {
    this.#underWay = undefined;
    if (this.#trouble) {
      this.#trouble = undefined;
      this.#options.onTrouble(undefined);
    }
    const { release } = this.#options;
    for (let i = 0; i < batch.tasks.length; i++) {
      const task = batch.tasks[i] as LiveTask;
      const row = rowOf(task);
      row.safeStatus = after[i] as number;
      row.firstWrite?.stored(task);
      if (!row.isDirty && (row.isSpilled || isFinal(task.state.status))) release(task);
    }
    if (batch.ended.length > 0) this.#options.ended(batch.ended);
    batch.done.resolve(undefined);
    this.#flush();
  }

  #failed(batch: Batch, before: readonly number[], reason: unknown): void {
    this.#underWay = undefined;
    const error = faultError(reason);
    if (!this.#trouble) this.#options.onTrouble(error);
    this.#trouble = error;
    const kept: LiveTask[] = [];
    batch.tasks.forEach((task, i) => {
      const stored = before[i] as number;
      rowOf(task).storedStatus = stored;
      if (stored !== NOT_STORED) kept.push(task);
      // It may have changed since, and stand in the next batch as well.
      else rowOf(task).isDirty = true;
    });
    const lost = this.#giveUp(
      batch.tasks.filter((task) => rowOf(task).storedStatus === NOT_STORED),
      error,
    );
    // Settings are not tried again: what saves one hears of it.
    this.#next = this.#merge(kept, batch, lost);
    batch.done.resolve(error);
    if (isEmpty(this.#next)) {
      // All of it was given up: no commit would end the waits for it.
      this.#next.done.resolve(undefined);
      this.#next = newBatch();
    }
    if (this.#isClosed) return;
    const isProbe = isEmpty(this.#next) && this.#fresh.size + this.#stale.size === 0;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#flush(), isProbe ? PROBE_MS : RETRY_MS);
  }

  /**
   * Gives up new tasks, and new ones that came after them: if they had ended by then, nothing else would stop these.
   * Returns the ids of all of them.
   */
  #giveUp(tasks: readonly LiveTask[], error: SdError): ReadonlySet<string> {
    const all = new Set<string>();
    for (let lost = tasks; lost.length > 0;) {
      for (const task of lost) {
        this.#options.giveUp(task);
        rowOf(task).firstWrite?.givenUp(task, error);
      }
      const ids = new Set(lost.map(({ id }) => id));
      for (const id of ids) all.add(id);
      // One that is on disk waited for them there, and is cancelled with them.
      lost = [...this.#next.tasks, ...this.#stale, ...this.#fresh].filter((task) =>
        rowOf(task).storedStatus === NOT_STORED && !rowOf(task).isGone &&
        task.task.after.some((id) => ids.has(id))
      );
      for (const task of lost) if (!this.#stale.delete(task)) this.#fresh.delete(task);
    }
    return all;
  }

  /** The next batch, with what a failed one leaves before it and without what was given up. */
  #merge(kept: readonly LiveTask[], failed: Batch, lost: ReadonlySet<string>): Batch {
    const next = this.#next;
    const tasks = next.tasks.filter((task) => !rowOf(task).isGone);
    for (const task of kept) {
      const log = failed.logs.get(task);
      const later = next.logs.get(task);
      if (log) next.logs.set(task, later ? joined(log, later) : log);
      const row = rowOf(task);
      if (row.isDirty) continue;
      row.isDirty = true;
      tasks.push(task);
    }
    for (const task of next.logs.keys()) if (rowOf(task).isGone) next.logs.delete(task);
    const ended = [...failed.ended, ...next.ended].filter(({ id }) => !lost.has(id));
    return { ...next, tasks, ended };
  }
}

function newBatch(): Batch {
  return {
    tasks: [],
    logs: new Map(),
    settings: new Map(),
    ended: [],
    done: Promise.withResolvers(),
  };
}

function isEmpty({ tasks, settings }: Batch): boolean {
  return tasks.length === 0 && settings.size === 0;
}

/** A batch on its way, with the statuses that its tasks have on disk before and after it. */
function toWrite({ tasks, logs, settings }: Batch) {
  const inserts: Cell[] = [];
  const updates: Cell[] = [];
  const before: number[] = [];
  const after: number[] = [];
  for (const task of tasks) {
    const row = rowOf(task);
    const status = storedStatusOf(task);
    if (row.storedStatus === NOT_STORED) {
      pushFixed(inserts, task);
      pushState(inserts, task, status);
    } else {
      updates.push(task.serial, row.storedStatus);
      pushState(updates, task, status);
    }
    before.push(row.storedStatus);
    after.push(status);
    row.storedStatus = status;
    row.isDirty = false;
  }
  const write: Write = {
    inserts,
    updates,
    logs: [...logs].map(([{ serial }, log]) => [serial, logToText(log)]),
    settings: [...settings],
  };
  return { write, before, after };
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
