/**
 * Keeps the head of every queue in memory and the rest on disk. Queued tasks: each lane has its first ones
 * here, and once some of a lane lie on disk, all that come behind them go there too. Delayed tasks: those
 * up to a horizon are here. Tasks that come after others are all here, and so are those that run.
 */

import { newSerial } from "../../task/task_id.ts";
import type { LiveTask } from "../live_task.ts";
import type { LiveTasks } from "../live_tasks.ts";
import type { Lane } from "../ready_queue.ts";
import { readRow } from "./rows.ts";
import type { Lane as StoredLane, StoreCall, StoreCalls, StoredTask } from "./store_message.ts";

export interface PagerOptions {
  readonly live: LiveTasks;
  readonly call: <Call extends StoreCall>(
    call: Call,
    ask: StoreCalls[Call]["ask"],
  ) => Promise<StoreCalls[Call]["answer"]>;
  /** A page could not be fetched. */
  readonly onFault: (error: unknown) => void;
  readonly sizes?: Partial<PagerSizes>;
}

export interface PagerSizes {
  /** Tasks of one lane that are here at most. */
  readonly lane: number;
  /** With fewer of a lane here, more are fetched; also what is fetched at a time. */
  readonly page: number;
  /** Queued tasks that are here at most, each lane's first few aside. */
  readonly all: number;
  /** The first few. */
  readonly few: number;
  /** Characters of payloads here, each lane's first task aside. */
  readonly chars: number;
  /** Delayed tasks here at most. */
  readonly delayed: number;
}

const SIZES: PagerSizes = {
  lane: 4096,
  page: 2048,
  all: 32_768,
  few: 16,
  chars: 64 * 1024 * 1024,
  delayed: 16_384,
};
/** Characters in one page. */
const PAGE_CHARS = 8 * 1024 * 1024;
/** Pages of different lanes that are fetched at a time. */
const MAX_FETCHES = 16;
/** Lanes that are looked at for one at a time. */
const MAX_LOOKS = 64;
/** The horizon is moved so long before it is reached. */
const HORIZON_MS = 1000;

export class Pager {
  readonly #options: PagerOptions;
  readonly #sizes: PagerSizes;
  /** Lanes that want a page. */
  readonly #wanted = new Set<Lane<LiveTask>>();
  /** Queued tasks that lie on disk alone. */
  #spilled = 0;
  #fetches = 0;
  /** What is delayed on disk alone comes after this. */
  #horizon = { runAt: Infinity, ord: Infinity };
  #isFetchingDue = false;
  #dueSpills = 0;
  #dueLeaving = 0;
  #fetched = Promise.withResolvers<void>();

  constructor(options: PagerOptions) {
    this.#options = options;
    this.#sizes = { ...SIZES, ...options.sizes };
  }

  /** What a file that was opened has waiting. */
  start(lanes: readonly StoredLane[], queued: number, delayed: number): void {
    this.#spilled = queued;
    for (const { priority, key, op } of lanes) {
      const lane = this.#options.live.ready.laneOf({ priority, key: key ?? undefined, op });
      lane.isSpilled = true;
      // Tasks that came after others are here already, some of them from behind those on disk.
      lane.lastSeq = 0;
      this.#want(lane);
    }
    if (delayed > 0) this.#horizon = { runAt: -1, ord: -1 };
    this.fetch(0);
  }

  /** Pages are on their way. */
  get isFetching(): boolean {
    return this.#fetches > 0 || this.#isFetchingDue;
  }

  /** When delayed tasks on disk are wanted here. */
  get nextAt(): number {
    return this.#horizon.runAt - HORIZON_MS;
  }

  /** Resolves when a page has come. */
  get fetched(): Promise<void> {
    return this.#fetched.promise;
  }

  /** Whether `task`, queued or delayed, is to wait on disk alone. Marks it so. */
  takesOver(task: LiveTask): boolean {
    if (task.task.after.length > 0) return false;
    const takes = task.state.status === "queued"
      ? this.#takesQueued(task)
      : this.#takesDelayed(task);
    if (takes) task.isSpilled = true;
    return takes;
  }

  /** One that was taken over is dealt with here after all. */
  takesBack(task: LiveTask): void {
    if (task.state.status === "queued") this.#spilled--;
    this.#left(task);
    task.isSpilled = false;
  }

  /** One that was taken over is on disk. */
  written(task: LiveTask): void {
    this.#left(task);
  }

  /** A task of `lane` was taken. */
  taken(lane: Lane<LiveTask>): void {
    if (lane.entries.length < this.#sizes.page) this.#want(lane);
  }

  /** Brings back to hand a task that waits on disk and is about to end: it stands in no queue here. */
  bringToEnd(task: LiveTask): void {
    if (task.state.status === "queued") this.#spilled--;
    this.#options.live.adopt(task);
  }

  /** Asks for the pages that are wanted. */
  fetch(now: number): void {
    let looks = MAX_LOOKS;
    for (const lane of this.#wanted) {
      if (this.#fetches >= MAX_FETCHES || looks-- === 0) break;
      this.#wanted.delete(lane);
      if (this.#isFull(lane)) this.#wanted.add(lane);
      else this.#run(this.#fetchLane(lane));
    }
    const { live } = this.#options;
    const isNear = this.#horizon.runAt - HORIZON_MS <= now ||
      live.delayed.length < this.#sizes.delayed / 4;
    if (this.#horizon.runAt !== Infinity && isNear && !this.#isFetchingDue) {
      this.#run(this.#fetchDue());
    }
  }

  get #resident(): number {
    return this.#options.live.counts.queued - this.#spilled;
  }

  /** More of the lane is not to be here. */
  #isFull(lane: Lane<LiveTask>): boolean {
    const { length } = lane.entries;
    const { lane: most, all, few, chars } = this.#sizes;
    return length >= most || (length >= few && this.#resident >= all) ||
      (length >= 1 && this.#options.live.openChars >= chars);
  }

  #takesQueued(task: LiveTask): boolean {
    const lane = this.#options.live.ready.laneOf(task);
    if (!lane.isSpilled && !this.#isFull(lane)) return false;
    // It was submitted before one that came in here earlier: pages are fetched from behind that.
    if (task.seq <= lane.lastSeq) task.seq = newSerial();
    lane.isSpilled = true;
    lane.spills++;
    lane.leaving++;
    this.#spilled++;
    return true;
  }

  #takesDelayed({ runAt, serial }: LiveTask): boolean {
    const { live } = this.#options;
    const isBeyond = runAt > this.#horizon.runAt ||
      (runAt === this.#horizon.runAt && serial > this.#horizon.ord);
    if (!isBeyond) {
      if (live.delayed.length < this.#sizes.delayed && live.openChars < this.#sizes.chars) {
        return false;
      }
      // What lies behind it and is here already stays here: a page passes over it.
      this.#horizon = { runAt, ord: serial - 1 };
    }
    this.#dueSpills++;
    this.#dueLeaving++;
    return true;
  }

  #left(task: LiveTask): void {
    if (task.state.status === "delayed") this.#dueLeaving--;
    else this.#options.live.ready.laneOf(task).leaving--;
  }

  #want(lane: Lane<LiveTask>): void {
    if (lane.isWanted || !lane.isSpilled) return;
    lane.isWanted = true;
    this.#wanted.add(lane);
  }

  async #fetchLane(lane: Lane<LiveTask>): Promise<void> {
    const { live, call } = this.#options;
    const { group, op, lastSeq } = lane;
    const many = this.#wanted.size + this.#fetches;
    const limit = Math.max(
      this.#sizes.few,
      Math.min(this.#sizes.page, Math.ceil(this.#sizes.all / (many + 1))),
    );
    this.#fetches++;
    lane.spills = 0;
    // What is still on its way to the disk, the page cannot hold.
    const isClean = lane.leaving === 0;
    try {
      const rows = await call("lane", {
        priority: group.level.priority,
        key: group.key ?? null,
        op,
        seq: lastSeq,
        limit,
        maxChars: PAGE_CHARS,
      });
      for (const row of rows) {
        lane.lastSeq = Math.max(lane.lastSeq, row.seq);
        this.#bring(row);
      }
      if (rows.length === 0 && isClean && lane.spills === 0) lane.isSpilled = false;
    } finally {
      this.#fetches--;
      lane.isWanted = false;
      if (!lane.isSpilled) live.ready.settle(lane);
      else if (lane.entries.length < this.#sizes.page) this.#want(lane);
      this.#ring();
    }
  }

  async #fetchDue(): Promise<void> {
    const { call } = this.#options;
    this.#isFetchingDue = true;
    this.#dueSpills = 0;
    const isClean = this.#dueLeaving === 0;
    const { runAt, ord } = this.#horizon;
    try {
      const rows = await call("due", {
        runAt,
        ord,
        limit: this.#sizes.page,
        maxChars: PAGE_CHARS,
      });
      for (const row of rows) this.#bring(row);
      const last = rows.at(-1);
      // Unless the horizon was moved towards us meanwhile.
      if (this.#horizon.runAt === runAt && this.#horizon.ord === ord) {
        if (last) this.#horizon = { runAt: last.runAt, ord: last.ord };
        else if (isClean && this.#dueSpills === 0) {
          this.#horizon = { runAt: Infinity, ord: Infinity };
        }
      }
    } finally {
      this.#isFetchingDue = false;
      this.#ring();
    }
  }

  #bring(row: StoredTask): void {
    const { live } = this.#options;
    // It is here already, by another way, or has just changed.
    if (live.index.get(row.id)) return;
    const task = readRow(row);
    if (task.state.status === "queued") this.#spilled--;
    live.adopt(task);
    live.line(task);
  }

  #run(fetch: Promise<void>): void {
    fetch.catch(this.#options.onFault);
  }

  #ring(): void {
    this.#fetched.resolve();
    this.#fetched = Promise.withResolvers();
  }
}
