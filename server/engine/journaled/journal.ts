/**
 * The changes that are not committed yet. All changes during one commit form the next one, so commits group themselves. A
 * task that changes again before it is written is written once. New tasks that can end soon stand back: they wait for a
 * commit, or for the time of one if none is under way, and are then written once, with their end. If a commit fails, its new
 * tasks are rolled back and their clients get the reason; everything else is tried again.
 */

import { setImmediate } from "node:timers";
import type { SdError } from "../../../protocol/errors.ts";
import { isFinal } from "../../../protocol/task.ts";
import type { FinishedTask } from "../../task/task_events.ts";
import { joined, logToText, type TaskLog } from "../../task/task_log.ts";
import type { EndedSink } from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import { type EndOutbox, OutboxWatchers, routedEnds } from "../outbox.ts";
import { faultError } from "./fault_error.ts";
import { NOT_STORED, pushFixed, pushState, rowOf, storedStatusOf } from "./rows.ts";
import { type Cell, LOG_KIND, type TaskStore, type Write } from "./task_store.ts";

interface JournalOptions {
  /** Commits; rejects with `fault` and `message`. */
  readonly write: (write: Write) => Promise<unknown>;
  /** Whether a new task will probably be final soon. */
  readonly isPromising: (task: LiveTask) => boolean;
  /** A setting to write with the next commit; there is always one if it is `needed`. */
  readonly along: (needed: boolean) => readonly [name: string, value: string] | undefined;
  /** Called for a new task that could not be stored. */
  readonly rollBack: (task: LiveTask) => void;
  /** Called for a task whose row is up to date, and which is not needed in memory. */
  readonly release: (task: LiveTask) => void;
  /** Receives the ends of a batch once it is committed, in their order. */
  readonly ended: EndedSink;
  /** Called with the error of the first failed commit in a row, and with nothing once commits succeed again. */
  readonly onTrouble: (error: SdError | undefined) => void;
}

/** Changes that are committed together. */
interface Batch {
  readonly tasks: LiveTask[];
  /** Output of runs of some of the tasks. */
  readonly logs: Map<LiveTask, TaskLog>;
  readonly settings: Map<string, string | null>;
  /** Ends that its commit makes final, in their order; all are of its tasks. */
  readonly ended: FinishedTask[];
  /** Numbers of outbox rows to drop. */
  readonly published: Set<number>;
  /** Resolves with nothing once it is committed, or with the reason of the failure. */
  readonly done: PromiseWithResolvers<SdError | undefined>;
}

/**
 * A new task waits for its end while no commit is under way: for as long as commits take of late, which is what a second
 * write of it would cost, but within these limits, in ms.
 */
const LINGER = { least: 1, most: 10 };
/** The share of the last commit in the mean time of commits. */
const LAST_SHARE = 0.125;
/** Most changes that wait after a failed commit; with more, no task is leased. */
const MAX_UNWRITTEN = 1000;
/** Most characters in one page of the outbox. */
const OUTBOX_CHARS = 1024 * 1024;
/** Time until a failed commit is tried again, in ms. */
const RETRY_MS = 200;
/** The same if no changes are left, in ms: only a commit shows that the disk works again. */
const PROBE_MS = 1000;

export class Journal {
  readonly #options: JournalOptions;
  #next = newBatch();
  #underWay: Batch | undefined;
  /** Tasks that stand back: new ones since the last commit began, */
  #fresh = new Set<LiveTask>();
  /** and older ones, which the next commit writes. */
  #stale = new Set<LiveTask>();
  #isScheduled = false;
  #isClosed = false;
  #lingerTimer: ReturnType<typeof setTimeout> | undefined;
  #retryTimer: ReturnType<typeof setTimeout> | undefined;
  #trouble: SdError | undefined;
  /** The mean time of the last commits. */
  #commitMs = 0;
  /** Called after each commit that added rows to the outbox. */
  readonly outbox = new OutboxWatchers();

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  /** The error of the last commit, if it failed. */
  get trouble(): SdError | undefined {
    return this.#trouble;
  }

  /** The number of changes that wait for the next commit. */
  get backlog(): number {
    return this.#next.tasks.length;
  }

  /** Too many changes wait for a working disk: a result could not be kept now. */
  get isStuck(): boolean {
    return this.#trouble !== undefined && this.backlog > MAX_UNWRITTEN;
  }

  get isIdle(): boolean {
    return !this.#underWay && isEmpty(this.#next) && this.#fresh.size + this.#stale.size === 0;
  }

  /** Call it when the row of `task` is out of date. */
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

  /** Reports the ends of these tasks with their commit; each of them was reported as `changed`. */
  ended(tasks: readonly FinishedTask[]): void {
    const { ended } = this.#next;
    for (const task of tasks) ended.push(task);
  }

  /** Adds output of a run of `task`; call `changed` after it. */
  said(task: LiveTask, log: TaskLog): void {
    const { logs } = this.#next;
    logs.set(task, joined(logs.get(task), log));
  }

  /** Commits a setting. Rejects if its commit fails; it is not tried again then. */
  async setting(name: string, value: string | null): Promise<void> {
    const { settings, done } = this.#next;
    settings.set(name, value);
    this.#schedule();
    const error = await done.promise;
    if (error) throw error;
  }

  /** Commits that rows of the outbox are published. Rejects if its commit fails; it is not tried again then. */
  async published(ns: readonly number[]): Promise<void> {
    const { published, done } = this.#next;
    for (const n of ns) published.add(n);
    this.#schedule();
    const error = await done.promise;
    if (error) throw error;
  }

  /** Resolves once every change so far is committed, however long that takes. */
  async committed(): Promise<void> {
    for (let batch = this.#last(); batch; batch = this.#last()) {
      if (await batch.done.promise === undefined) return;
    }
  }

  /** The same, but rejects with the reason if the first try fails. Changes of stored tasks are still tried again. */
  async committedNow(): Promise<void> {
    const next = isEmpty(this.#next) ? undefined : this.#next;
    for (const batch of [this.#underWay, next]) {
      const error = await batch?.done.promise;
      if (error) throw error;
    }
  }

  /** Puts the tasks that stand back into the next commit, so that `committed` waits for them as well. */
  hurry(): void {
    for (const task of this.#stale) this.#next.tasks.push(task);
    for (const task of this.#fresh) this.#next.tasks.push(task);
    this.#stale.clear();
    this.#fresh.clear();
    if (!isEmpty(this.#next)) this.#schedule();
  }

  /** Drops changes that could not be written. */
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
    // All changes of one turn of the event loop are written together.
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
    // A failed commit loses it, so every commit has it until one succeeds.
    const along = this.#options.along(this.#trouble !== undefined);
    if (along) batch.settings.set(...along);
    this.#next = newBatch();
    this.#underWay = batch;
    const { write, before, after } = toWrite(batch);
    const since = performance.now();
    this.#options.write(write).then(
      () => {
        this.#commitMs += (performance.now() - since - this.#commitMs) * LAST_SHARE;
        this.#succeeded(batch, after);
        if (write.outbox) this.outbox.call();
      },
      (error) => this.#failed(batch, before, error),
    );
  }

  /** Waits a moment for the ends of new tasks, if nothing else has to be written. */
  #linger(): void {
    if (this.#fresh.size === 0 || this.#isClosed) return;
    this.#lingerTimer ??= setTimeout(() => {
      this.#lingerTimer = undefined;
      this.hurry();
      this.#flush();
    }, Math.min(LINGER.most, Math.max(LINGER.least, this.#commitMs)));
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
      row.committedStatus = after[i] as number;
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
      // It can have changed since, and be in the next batch as well.
      else rowOf(task).isDirty = true;
    });
    const lost = this.#rollBack(
      batch.tasks.filter((task) => rowOf(task).storedStatus === NOT_STORED),
      error,
    );
    // Settings are not tried again: their callers get the error.
    this.#next = this.#merge(kept, batch, lost);
    batch.done.resolve(error);
    if (isEmpty(this.#next)) {
      // All of it was rolled back: no commit would end the waits for it.
      this.#next.done.resolve(undefined);
      this.#next = newBatch();
    }
    if (this.#isClosed) return;
    const isProbe = isEmpty(this.#next) && this.#fresh.size + this.#stale.size === 0;
    clearTimeout(this.#retryTimer);
    this.#retryTimer = setTimeout(() => this.#flush(), isProbe ? PROBE_MS : RETRY_MS);
  }

  /**
   * Rolls back new tasks, and new tasks that came after them, even if their parents had completed by then. Returns the ids
   * of all of them.
   */
  #rollBack(tasks: readonly LiveTask[], error: SdError): ReadonlySet<string> {
    const all = new Set<string>();
    for (let lost = tasks; lost.length > 0;) {
      for (const task of lost) {
        this.#options.rollBack(task);
        rowOf(task).firstWrite?.rolledBack(task, error);
      }
      const ids = new Set(lost.map(({ id }) => id));
      for (const id of ids) all.add(id);
      // A stored task that came after them is cancelled instead.
      lost = [...this.#next.tasks, ...this.#stale, ...this.#fresh].filter((task) =>
        rowOf(task).storedStatus === NOT_STORED && !rowOf(task).isGone &&
        task.task.after.some((id) => ids.has(id))
      );
      for (const task of lost) if (!this.#stale.delete(task)) this.#fresh.delete(task);
    }
    return all;
  }

  /** The next batch: the rest of the failed one, then the changes since, without tasks that were rolled back. */
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

/** The outbox of a store whose changes are written by `journal`. */
export function outboxOf(store: Pick<TaskStore, "call">, journal: Journal): EndOutbox {
  return {
    read: (after, limit) => store.call("outbox", { after, limit, maxChars: OUTBOX_CHARS }),
    done: (ns) => journal.published(ns),
    watch: (changed) => journal.outbox.watch(changed),
  };
}

function newBatch(): Batch {
  return {
    tasks: [],
    logs: new Map(),
    settings: new Map(),
    ended: [],
    published: new Set(),
    done: Promise.withResolvers(),
  };
}

function isEmpty({ tasks, settings, published }: Batch): boolean {
  return tasks.length === 0 && settings.size === 0 && published.size === 0;
}

/** The `Write` of a batch, with the statuses of its rows before and after it. */
function toWrite({ tasks, logs, settings, ended, published }: Batch) {
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
  const outbox = routedEnds(ended);
  const write: Write = {
    inserts,
    updates,
    attachments: [...logs].map(([{ serial }, log]) => [serial, LOG_KIND, logToText(log)]),
    settings: [...settings],
    ...(outbox.length > 0 ? { outbox } : {}),
    ...(published.size > 0 ? { published: [...published] } : {}),
  };
  return { write, before, after };
}
