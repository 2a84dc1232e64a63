/**
 * The engine that keeps tasks in a store, by way of a journal. It decides everything in memory, with the same live tasks as
 * the memory engine, and replies once the store has committed the decision. The end of a run is written, but not its
 * start: a task that runs when the server dies is queued in the store.
 */

import { isFinal, type Status } from "../../../protocol/task.ts";
import type { NewTask } from "../../task/new_task.ts";
import { Serials } from "../../task/task_id.ts";
import type { TaskLog } from "../../task/task_log.ts";
import {
  type Ack,
  type Asker,
  type Cancelled,
  type Engine,
  type EngineStats,
  type Enqueued,
  type GetOptions,
  type Lease,
  type Leased,
  type LeaseRequest,
  type Listed,
  type ListRequest,
  type Nack,
  NOT_FOUND,
  type Pruned,
  type Requeued,
  type TaskRecord,
} from "../engine.ts";
import { checkRequeue, enqueueOne } from "../live/enqueue_rules.ts";
import type { LiveTask, StorageHooks } from "../live/live_task.ts";
import { type Ended, LiveTasks } from "../live/live_tasks.ts";
import { reserveStarts } from "../live/takeover.ts";
import { ReadTurns } from "../read_turns.ts";
import type { EndOutbox } from "../outbox.ts";
import { KeptSettings } from "../settings.ts";
import { CommitBarrier, FirstWrite } from "./commit_barrier.ts";
import { ClockMark, markIn, RateKeeper } from "./kept_times.ts";
import { Journal, outboxOf } from "./journal.ts";
import { openUnderLead } from "./lead_guard.ts";
import { type FoundTasks, listTasks, NO_TASKS, TaskFinder } from "./task_finder.ts";
import { Pager } from "./pager.ts";
import { LaneState, NOT_STORED, rowOf, RowState } from "./rows.ts";
import { StoredCounts } from "./stored_counts.ts";
import { adoptStored, expireStored, openChildren, Recheck } from "./unpaged.ts";
import type { JournaledOptions } from "./options.ts";
import type { Opened, TaskStore } from "./task_store.ts";

/** With more queued tasks, a new one is not expected to end soon. */
const MAX_PROMISING = 2048;
/** Time until a stuck engine leases again, in ms. */
const STUCK_MS = 200;
const NO_OPS: ReadonlySet<string> = new Set();
const newStored = (): RowState => new RowState(NOT_STORED);

/** The engine on an open store; resolves when it has read what it needs in memory. */
export async function openJournaledEngine(options: JournaledOptions): Promise<Engine> {
  return options.store.lost ? await openUnderLead(options, openAlone) : await openAlone(options);
}

async function openAlone(options: JournaledOptions): Promise<Engine> {
  const engine = new JournaledEngine(options);
  await engine.start(options.opened, options.now);
  return engine;
}

class JournaledEngine implements Engine, StorageHooks {
  readonly name: string;
  readonly settings: KeptSettings;
  readonly serials: Serials;
  readonly recheck: NonNullable<Engine["recheck"]>;
  readonly lastAt: number;
  readonly outbox: EndOutbox;

  readonly #options: JournaledOptions;
  readonly #store: TaskStore;
  readonly #live: LiveTasks;
  readonly #journal: Journal;
  readonly #pager: Pager;
  readonly #rates: RateKeeper;
  readonly #turns = new ReadTurns(4);
  readonly #finder: TaskFinder;
  readonly backup: NonNullable<Engine["backup"]> | undefined;
  readonly #barrier: CommitBarrier;
  readonly #mark: ClockMark;
  readonly #counts: StoredCounts;
  /** The time of the last submit, lease or result. */
  #now: number;

  constructor(options: JournaledOptions) {
    const { store, opened, report } = options;
    this.#options = options;
    this.name = options.name;
    this.backup = options.backup;
    this.#store = store;
    this.lastAt = markIn(opened.settings);
    this.#now = Math.max(options.now, this.lastAt);
    this.serials = new Serials(opened.next);
    this.#live = new LiveTasks({
      hooks: this,
      serials: this.serials,
      newStoredLane: () => new LaneState(),
      random: options.random ?? Math.random,
    });
    this.#journal = new Journal({
      write: (write) => store.call("write", write),
      isPromising: (task) =>
        task.state.status === "queued" && !rowOf(task).isSpilled && task.task.wait &&
        this.#live.counts.byStatus.queued <= MAX_PROMISING,
      along: (needed) => this.#mark.along(this.#now, needed),
      rollBack: (task) => this.#rollBack(task),
      release: (task) => this.#release(task),
      ended: options.ended ?? (() => {}),
      onTrouble: (error) => report(error ? error.message : "what was waiting is written"),
    });
    this.outbox = outboxOf(store, this.#journal);
    this.#barrier = new CommitBarrier(this.#journal, this.#live);
    this.#pager = new Pager({
      live: this.#live,
      store,
      onFault: (error) => report(error instanceof Error ? error.message : String(error)),
      ...(options.sizes ? { sizes: options.sizes } : {}),
    });
    this.#counts = new StoredCounts({ live: this.#live, pager: this.#pager, report });
    const keep = (name: string, value: string | null) => this.#journal.setting(name, value);
    this.#mark = new ClockMark(keep);
    const recheck = new Recheck(store, this.#pager, this.#live, this.#turns);
    this.recheck = (ops, now) => recheck.look(ops, this.#journal.isStuck, now);
    this.#rates = new RateKeeper(this.#live.gate, keep);
    this.#finder = new TaskFinder(store, this.#live, this.#turns);
    const settings = this.#rates.restore(opened.settings, this.#now);
    this.settings = new KeptSettings(settings, (name, value) => keep(name, value ?? null));
  }

  async start(opened: Opened, wall: number): Promise<void> {
    const live = this.#live;
    const now = this.#now;
    live.delayed.aheadMs = now - wall;
    this.#counts.begin(opened);
    await openChildren({ store: this.#store, live, now });
    this.#passEnds();
    this.#pager.start(opened.lanes, this.#mayHaveDelayed);
  }

  /** False if it is certain that no task is delayed. */
  get #mayHaveDelayed(): boolean {
    return !this.#counts.isComplete || this.#live.counts.byStatus.delayed > 0;
  }

  changed(task: LiveTask): void {
    this.#journal.changed(task);
  }

  ended(): void {}

  said(task: LiveTask, log: TaskLog): void {
    this.#journal.said(task, log);
  }

  takesOver(task: LiveTask): boolean {
    const takes = this.#pager.takesOver(task);
    // It leaves memory once it is written, so it must be written even if it has not changed.
    if (takes) this.#journal.changed(task);
    return takes;
  }

  takesBack(task: LiveTask): void {
    this.#pager.takesBack(task);
  }

  async enqueue(tasks: readonly NewTask[], now: number): Promise<Enqueued[]> {
    this.#now = now;
    const ids: string[] = [];
    for (const task of tasks) {
      if (task.idGiven) ids.push(task.id);
      for (const id of task.after) ids.push(id);
    }
    if (this.#finder.has(ids)) return await this.#enqueueAll(tasks, NO_TASKS, now);
    const found = this.#finder.find(ids);
    return await this.#barrier.during(found.then((rows) => this.#enqueueAll(tasks, rows, now)));
  }

  /** `rows`: the tasks on disk among the given ids and the parents. */
  async #enqueueAll(tasks: readonly NewTask[], rows: FoundTasks, now: number): Promise<Enqueued[]> {
    const rules = {
      live: this.#live,
      newStored,
      known: (id: string) => this.#known(id, rows),
      maxQueued: this.#options.sweeper.isFull ? 0 : this.#options.maxQueued ?? Infinity,
      maxOpenChars: Infinity,
    };
    const writing = new FirstWrite();
    /** Replies for existing tasks, by place. */
    const known = new Map<number, Promise<Enqueued>>();
    const taken = tasks.map((task, i) => {
      const { enqueued, kept, known: other } = enqueueOne(rules, task, now);
      if (kept) {
        writing.add(kept);
        this.#journal.changed(kept);
      }
      if (other) known.set(i, this.#barrier.replyOfExisting(other, enqueued));
      return { enqueued, kept };
    });
    this.#passEnds();
    await writing.done;
    const enqueued = taken.map(({ enqueued, kept }) => writing.replyOf(kept, enqueued));
    for (const [i, reply] of known) enqueued[i] = await reply;
    return enqueued;
  }

  lease(request: LeaseRequest, now: number): Promise<Leased> {
    this.#now = now;
    const { isStuck } = this.#journal;
    // Before the lease, which can take the last start that a limit leaves to a suspect.
    const startable = isStuck ? NO_OPS : this.#live.suspectOps(request, now);
    const tasks = isStuck ? [] : this.#live.lease(request, now);
    this.#passEnds();
    this.#pager.taken();
    this.#pager.fetch(now);
    this.#rates.started(tasks, request.rates);
    const nextDueAt = Math.min(this.#live.nextAt, this.#pager.nextAt);
    const more = tasks.length < request.limit ? this.#pager.next : undefined;
    return Promise.resolve({
      tasks,
      // Nothing else wakes the dispatcher when the disk works again.
      nextDueAt: isStuck ? now + STUCK_MS : nextDueAt,
      suspectOps: request.suspects && !isStuck ? this.#live.suspectOps(request, now) : startable,
      more,
    });
  }

  readonly adopt: Engine["adopt"] = (request, now) =>
    adoptStored({ finder: this.#finder, live: this.#live, pager: this.#pager }, request, now);

  readonly reserve: Engine["reserve"] = (reservation) =>
    Promise.resolve(reserveStarts(this.#live, reservation));

  renew(leases: readonly Lease[], leaseUntil: number): Promise<Lease[]> {
    return Promise.resolve(this.#live.renew(leases, leaseUntil));
  }

  ack(acks: readonly Ack[], now: number): Promise<void> {
    this.#now = now;
    this.#live.ack(acks, now);
    return this.#passEnds() ? this.#journal.committed() : Promise.resolve();
  }

  async nack(nacks: readonly Nack[], now: number): Promise<(Status | undefined)[]> {
    const statuses = this.#live.nack(nacks, now);
    if (this.#passEnds()) await this.#journal.committed();
    return statuses;
  }

  overdue(leaseTime: number): Promise<Lease[]> {
    return Promise.resolve(this.#live.overdue(leaseTime));
  }

  async cancel(ids: readonly string[], now: number, asker?: Asker): Promise<Cancelled[]> {
    const rows = this.#finder.has(ids) ? NO_TASKS : await this.#finder.find(ids, asker);
    const { trouble } = this.#journal;
    // A cancel that cannot be written now is refused before it changes anything.
    if (trouble && ids.some((id) => this.#endsByCancel(id, rows))) throw trouble;
    const tasks = ids.map((id) => this.#bringToEnd(id, rows));
    const cancelled = tasks.map((task) => task ? this.#live.cancel(task, now) : NOT_FOUND);
    this.#passEnds();
    // The end of a task that had ended before can be uncommitted, too. A cancel whose commit fails is still in effect,
    // since it is tried again: so its reply waits for that.
    if (!cancelled.some(({ status }) => status && isFinal(status))) return cancelled;
    await this.#journal.committed();
    return cancelled.map((one, i) => tasks[i] && rowOf(tasks[i]).isRolledBack ? NOT_FOUND : one);
  }

  async requeue(ids: readonly string[], now: number, asker?: Asker): Promise<Requeued[]> {
    const first = this.#finder.has(ids) ? NO_TASKS : await this.#finder.find(ids, asker);
    const parents = ids.flatMap((id) => this.#known(id, first)?.task.after ?? []);
    // The tasks themselves are read again: they can have changed since.
    const both = [...ids, ...parents];
    const all = this.#finder.has(both) ? NO_TASKS : await this.#finder.find(both, asker);
    const undone = new Map<LiveTask, Ended>();
    const requeued = ids.map((id) => this.#requeue(id, { rows: all, now, undone }));
    this.#passEnds();
    if (undone.size === 0) return requeued;
    try {
      await this.#journal.committedNow();
      for (const task of undone.keys()) this.#live.settleRequeue(task);
    } catch (error) {
      for (const [task, ended] of undone) this.#live.settleRequeue(task, ended);
      throw error;
    }
    return requeued;
  }

  async get(
    ids: readonly string[],
    options: GetOptions = {},
  ): Promise<(TaskRecord | undefined)[]> {
    await this.#barrier.passed();
    return await this.#finder.records(ids, options);
  }

  async list(request: ListRequest): Promise<Listed> {
    await this.#barrier.passed();
    return await listTasks({ store: this.#store, live: this.#live, turns: this.#turns }, request);
  }

  stats(): Promise<EngineStats> {
    return Promise.resolve(this.#live.counts.stats(this.#live.ready));
  }

  async prune(now: number, aheadMs = this.#live.delayed.aheadMs): Promise<Pruned> {
    this.#live.delayed.aheadMs = aheadMs;
    this.#now = now;
    this.#live.expire(now);
    this.#passEnds();
    await expireStored({ store: this.#store, live: this.#live, pager: this.#pager }, now);
    this.#passEnds();
    this.#rates.prune(now);
    if (this.#mayHaveDelayed) this.#mark.alone(now);
    const { dependencies } = this.#live;
    const held = { version: dependencies.version, ords: () => dependencies.parentSerials() };
    const swept = await this.#options.sweeper.sweep(now, held);
    return {
      removed: this.#counts.dropped(swept.removed),
      nextAt: swept.more ? now : Infinity,
    };
  }

  async close(): Promise<void> {
    this.#mark.last(this.#now);
    await this.#barrier.passed();
    this.#counts.close();
    this.#pager.close();
    this.#journal.close();
    await this.#store.close();
  }

  /** Passes the ends since the last call to the journal, which reports them; false if there are none. */
  #passEnds(): boolean {
    const ended = this.#live.takeEnded();
    if (ended.length > 0) this.#journal.ended(ended);
    return ended.length > 0;
  }

  #rollBack(task: LiveTask): void {
    this.#live.disown(task, this.#now);
    this.#passEnds();
  }

  /** Removes a task from memory whose row is up to date. */
  #release(task: LiveTask): void {
    if (rowOf(task).isSpilled) this.#pager.written(task);
    this.#live.remove(task);
  }

  #requeue(
    id: string,
    { rows, now, undone }: { rows: FoundTasks; now: number; undone: Map<LiveTask, Ended> },
  ): Requeued {
    const task = this.#known(id, rows);
    if (!task) return { outcome: "not_found", status: undefined };
    const { parents, refused } = checkRequeue(task, (other) => this.#known(other, rows));
    if (refused) return refused;
    if (!this.#live.index.get(id)) this.#live.recall(task);
    const ended = this.#live.requeue(task, parents, now);
    if (ended) undone.set(task, ended);
    return { outcome: "queued", status: task.state.status };
  }

  /** Whether a cancel would end the task, or the task has an end that is not committed. */
  #endsByCancel(id: string, rows: FoundTasks): boolean {
    const status = this.#known(id, rows)?.state.status;
    if (status === undefined || status === "running") return false;
    return !isFinal(status) || this.#live.index.get(id) !== undefined;
  }

  /** The task; if it waits on disk, it is brought into memory, since it is about to end. */
  #bringToEnd(id: string, rows: FoundTasks): LiveTask | undefined {
    const task = this.#known(id, rows);
    const isOnDisk = task && !this.#live.index.get(id);
    if (isOnDisk && !isFinal(task.state.status)) this.#pager.bringToEnd(task);
    return task;
  }

  #known(id: string, rows: FoundTasks): LiveTask | undefined {
    return this.#live.index.get(id) ?? rows.get(id);
  }
}
