/**
 * Keeps the head of every lane (op, key, priority) in memory and the rest on disk. The journaled engine asks it which tasks
 * wait on disk, and after each lease for pages.
 *
 * A queued task is in exactly one of three places:
 * - *here*: in the entries of its lane;
 * - *leaving*: in `leaving` of its lane, in memory until its write is answered;
 * - *away*: only on disk.
 *
 * The invariant: while any task of a lane is leaving or away, the lane `isSpilled`, and each of these tasks has a `seq`
 * above the lane's cursor, `lastSeq`. A page asks for the rows after the cursor, so it finds them all. Four rules keep it:
 * 1. A task that begins to leave gets a new `seq` if its own is not above the cursor.
 * 2. Only the answer to a page moves the cursor, and it passes over no task: leaving tasks before the last row of the page
 *    come back here with it. The page does not contain them if their write was asked for later, or has failed.
 * 3. A page without rows shows that no task is away. All leaving tasks come back, and the lane is no longer spilled.
 * 4. A leaving task is away once its write is answered. A write is answered after all pages that were asked for
 *    before it. So a task that is away when a page is answered was on disk when the page was read.
 *
 * The same holds for delayed tasks. Their one cursor is the horizon (`runAt`, then `ord`); at `Infinity`, no task is leaving
 * or away. The horizon also moves back, to where the next delayed task begins to leave.
 *
 * Running tasks, suspects, and tasks that come after others are never away. A page can contain rows of tasks that are in
 * memory; they are passed over.
 */

import { delay } from "@std/async/delay";
import type { LiveTask } from "../live/live_task.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import type { Lane } from "../live/ready_queue.ts";
import { codeOf, laneStateOf, readRow, rowOf } from "./rows.ts";
import type { LaneQuery, StoredTask, TaskStore } from "./task_store.ts";

interface PagerOptions {
  readonly live: LiveTasks;
  readonly store: Pick<TaskStore, "call">;
  /** Called if a page could not be read; it is asked for again. */
  readonly onFault: (error: unknown) => void;
  readonly sizes?: Partial<PagerSizes>;
}

export interface PagerSizes {
  /** Most tasks of one lane here. */
  readonly lane: number;
  /** A lane with fewer tasks here gets a page; also the size of a page. */
  readonly page: number;
  /** Most queued tasks here, not counting the first few of each lane. */
  readonly all: number;
  /** The number of the first few. */
  readonly few: number;
  /** Most characters of payloads here, not counting the first task of each lane. */
  readonly chars: number;
  /** Most delayed tasks here. */
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
/** Most characters in one page. */
const PAGE_CHARS = 8 * 1024 * 1024;
/** Most pages that are fetched at a time. */
const MAX_FETCHES = 16;
/** Most lanes with tasks here that one `fetch` looks at. */
const MAX_LOOKS = 64;
/** Time before the horizon at which the next page is fetched, in ms. */
const HORIZON_MS = 1000;
/** Time until a page that could not be read is asked for again, in ms; doubled with each failure in a row. */
const RETRY_MS = 200;
const MAX_RETRY_MS = 10_000;
const QUEUED = codeOf("queued");

export class Pager {
  readonly #options: PagerOptions;
  readonly #sizes: PagerSizes;
  /** Lanes that need a page and have tasks here. */
  readonly #wanted = new Set<Lane<LiveTask>>();
  /** By priority: lanes that need a page and have no task here. Their pages are fetched first. */
  readonly #empty = new Map<number, Set<Lane<LiveTask>>>();
  /** Queued tasks that are leaving or away. */
  #spilled = 0;
  #fetches = 0;
  /** All delayed tasks that are leaving or away come after this place. */
  #horizon = { runAt: Infinity, ord: Infinity };
  readonly #dueLeaving = new Set<LiveTask>();
  #isFetchingDue = false;
  /** The number of pages in a row that could not be read. */
  #faults = 0;
  readonly #closed = new AbortController();
  #fetched = Promise.withResolvers<void>();

  constructor(options: PagerOptions) {
    this.#options = options;
    this.#sizes = { ...SIZES, ...options.sizes };
  }

  /** Begins with the waiting tasks of a store that was opened. */
  start(lanes: readonly LaneQuery[], hasDelayed: boolean): void {
    const { ready } = this.#options.live;
    for (const { priority, key, op } of lanes) {
      const lane = ready.laneOf({ priority, key: key ?? undefined, op });
      // Tasks that come after others are here already; some of them have a higher `seq` than tasks on disk.
      laneStateOf(lane).lastSeq = 0;
      this.#setSpilled(lane, true);
      this.#want(lane);
    }
    if (hasDelayed) this.#horizon = { runAt: -1, ord: -1 };
    this.fetch(0);
  }

  /** Call it once with the number of tasks that were queued in the store when it was opened. */
  counted(queued: number): void {
    this.#spilled += queued;
  }

  /** Stops fetching. */
  close(): void {
    this.#closed.abort();
  }

  /** Resolves when the next page has come; `undefined` if none is on its way. */
  get next(): Promise<void> | undefined {
    return this.#fetches > 0 || this.#isFetchingDue ? this.#fetched.promise : undefined;
  }

  /** When the next page of delayed tasks is needed; `Infinity` while one is on its way. */
  get nextAt(): number {
    return this.#isFetchingDue ? Infinity : this.#horizon.runAt - HORIZON_MS;
  }

  /** Decides whether `task`, queued or delayed, waits on disk. If it does, it is leaving memory from now on. */
  takesOver(task: LiveTask): boolean {
    if (task.task.after.length > 0) return false;
    const takes = task.state.status === "queued"
      ? this.#takesQueued(task)
      : this.#takesDelayed(task);
    if (takes) rowOf(task).isSpilled = true;
    return takes;
  }

  /** A leaving task stays here after all; it stands in no queue. */
  takesBack(task: LiveTask): void {
    if (task.state.status === "queued") this.#spilled--;
    this.written(task);
    rowOf(task).isSpilled = false;
  }

  /** Call it when a leaving task is away. */
  written(task: LiveTask): void {
    if (task.state.status === "delayed") this.#dueLeaving.delete(task);
    else laneStateOf(this.#options.live.ready.laneOf(task)).leaving?.delete(task);
  }

  /** Call it after a lease: lanes from which tasks were taken can need a page. */
  taken(): void {
    for (const lane of this.#options.live.ready.takeShortened()) {
      if (lane.entries.length < this.#sizes.page) this.#want(lane);
    }
  }

  /** Brings a task that is away into memory because it is about to end: it stands in no queue. */
  bringToEnd(task: LiveTask): void {
    if (task.state.status === "queued") this.#spilled--;
    this.#options.live.adopt(task);
  }

  /** Whether no page would find the task of `row`, which is up to date. */
  isLost({ id, op, key, priority, status, seq, runAt, ord }: StoredTask): boolean {
    const { index, ready } = this.#options.live;
    if (index.get(id)) return false;
    if (status !== QUEUED) return !isBehind({ runAt, serial: ord }, this.#horizon);
    const { isSpilled, lastSeq } = laneStateOf(
      ready.laneOf({ priority, key: key ?? undefined, op }),
    );
    return !isSpilled || seq <= lastSeq;
  }

  /** The numbers of waiting tasks and pages, for the log. */
  get state(): string {
    const lanes = [...this.#empty.values()].reduce((sum, { size }) => sum + size, 0);
    return `${this.#spilled} on disk alone or on their way there, ${this.#fetches} pages on their way, ` +
      `${this.#wanted.size} lanes and ${lanes} empty lanes want one, horizon ${this.#horizon.runAt}`;
  }

  /** Asks for the pages that are needed. */
  fetch(now: number): void {
    if (this.#closed.signal.aborted) return;
    while (this.#fetches < MAX_FETCHES && this.#empty.size > 0) this.#fetchFirstEmpty();
    let looks = MAX_LOOKS;
    for (const lane of this.#wanted) {
      if (this.#fetches >= MAX_FETCHES || looks-- === 0) break;
      this.#wanted.delete(lane);
      if (this.#isFull(lane)) this.#wanted.add(lane);
      else void this.#fetchLane(lane);
    }
    const { live } = this.#options;
    const isNear = this.#horizon.runAt - HORIZON_MS <= now ||
      live.delayed.length < this.#sizes.delayed / 4;
    if (this.#horizon.runAt !== Infinity && isNear && !this.#isFetchingDue) {
      void this.#fetchDue();
    }
  }

  get #resident(): number {
    return this.#options.live.counts.byStatus.queued - this.#spilled;
  }

  /** Whether no more tasks of the lane should be here. */
  #isFull(lane: Lane<LiveTask>): boolean {
    const { length } = lane.entries;
    const { lane: most, all, few, chars } = this.#sizes;
    return length >= most || (length >= few && this.#resident >= all) ||
      (length >= 1 && this.#options.live.openChars >= chars);
  }

  #takesQueued(task: LiveTask): boolean {
    const lane = this.#options.live.ready.laneOf(task);
    const state = laneStateOf(lane);
    if (!state.isSpilled && !this.#isFull(lane)) return false;
    if (task.seq <= state.lastSeq) task.seq = this.#options.live.serials.next();
    if (!state.isSpilled) this.#setSpilled(lane, true);
    (state.leaving ??= new Set()).add(task);
    this.#spilled++;
    return true;
  }

  #takesDelayed(task: LiveTask): boolean {
    const { live } = this.#options;
    if (!isBehind(task, this.#horizon)) {
      if (live.delayed.length < this.#sizes.delayed && live.openChars < this.#sizes.chars) {
        return false;
      }
      // Tasks behind it that are here already stay here: pages pass over them.
      this.#horizon = { runAt: task.runAt, ord: task.serial - 1 };
    }
    this.#dueLeaving.add(task);
    return true;
  }

  #want(lane: Lane<LiveTask>): void {
    const { isSpilled, isFetching } = laneStateOf(lane);
    if (!isSpilled || isFetching) return;
    if (lane.entries.length > 0) {
      this.#wanted.add(lane);
      return;
    }
    this.#wanted.delete(lane);
    const { priority } = lane.group.level;
    const lanes = this.#empty.get(priority);
    if (lanes) lanes.add(lane);
    else this.#empty.set(priority, new Set([lane]));
  }

  /** Fetches a page for the first empty lane of the highest priority; there is one. */
  #fetchFirstEmpty(): void {
    const highest = Math.max(...this.#empty.keys());
    const lanes = this.#empty.get(highest);
    for (const lane of lanes ?? []) {
      lanes?.delete(lane);
      void this.#fetchLane(lane);
      break;
    }
    if (lanes?.size === 0) this.#empty.delete(highest);
  }

  async #fetchLane(lane: Lane<LiveTask>): Promise<void> {
    const { store } = this.#options;
    const { group, op } = lane;
    const many = this.#wanted.size + this.#fetches;
    const limit = Math.max(
      this.#sizes.few,
      Math.min(this.#sizes.page, Math.ceil(this.#sizes.all / (many + 1))),
    );
    const state = laneStateOf(lane);
    this.#fetches++;
    state.isFetching = true;
    try {
      const rows = await store.call("lane", {
        priority: group.level.priority,
        key: group.key ?? null,
        op,
        seq: state.lastSeq,
        limit,
        maxChars: PAGE_CHARS,
      });
      this.#arrived(lane, rows);
      this.#faults = 0;
    } catch (error) {
      // Lower priorities do not wait for a lane that cannot be read.
      this.#setLate(lane, true);
      await this.#failed(error);
    } finally {
      this.#fetches--;
      state.isFetching = false;
      if (lane.entries.length < this.#sizes.page) this.#want(lane);
      this.#ring();
    }
  }

  #arrived(lane: Lane<LiveTask>, rows: readonly StoredTask[]): void {
    const state = laneStateOf(lane);
    const upTo = rows.at(-1)?.seq ?? Infinity;
    const back = [...state.leaving ?? []].filter(({ seq }) => seq <= upTo)
      .sort((a, b) => a.seq - b.seq);
    let at = 0;
    for (const row of rows) {
      for (let task = back[at]; task && task.seq < row.seq; task = back[++at]) this.#keep(task);
      this.bring(row);
    }
    for (; at < back.length; at++) this.#keep(back[at] as LiveTask);
    if (rows.length > 0) state.lastSeq = upTo;
    else state.lastSeq = Math.max(state.lastSeq, back.at(-1)?.seq ?? 0);
    this.#setLate(lane, false);
    if (rows.length === 0) this.#setSpilled(lane, false);
  }

  #setSpilled(lane: Lane<LiveTask>, isSpilled: boolean): void {
    laneStateOf(lane).isSpilled = isSpilled;
    this.#options.live.ready.storedChanged(lane);
  }

  #setLate(lane: Lane<LiveTask>, isLate: boolean): void {
    laneStateOf(lane).isLate = isLate;
    this.#options.live.ready.storedChanged(lane);
  }

  async #fetchDue(): Promise<void> {
    const { store } = this.#options;
    this.#isFetchingDue = true;
    const asked = this.#horizon;
    try {
      const rows = await store.call("due", {
        ...asked,
        limit: this.#sizes.page,
        maxChars: PAGE_CHARS,
      });
      this.#dueArrived(asked, rows);
      this.#faults = 0;
    } catch (error) {
      await this.#failed(error);
    } finally {
      this.#isFetchingDue = false;
      this.#ring();
    }
  }

  #dueArrived(asked: { runAt: number; ord: number }, rows: readonly StoredTask[]): void {
    for (const row of rows) this.bring(row);
    // The horizon has moved back meanwhile: the next page begins there.
    if (this.#horizon !== asked) return;
    const last = rows.at(-1);
    const next = last ? { runAt: last.runAt, ord: last.ord } : { runAt: Infinity, ord: Infinity };
    for (const task of this.#dueLeaving) if (!isBehind(task, next)) this.#keep(task);
    this.#horizon = next;
  }

  /** Brings the task of a row into memory and into its queue. */
  bring(row: StoredTask): void {
    const { live } = this.#options;
    // It is here already, by another way, or has just changed.
    if (live.index.get(row.id)) return;
    const task = readRow(row);
    if (task.state.status === "queued") this.#spilled--;
    live.adopt(task);
    live.line(task);
  }

  /** A leaving task stays here. */
  #keep(task: LiveTask): void {
    this.takesBack(task);
    this.#options.live.stand(task);
  }

  /** Waits, after a page could not be read, until it can be asked for again. */
  async #failed(error: unknown): Promise<void> {
    const { signal } = this.#closed;
    if (signal.aborted) return;
    this.#options.onFault(error);
    // Leases go on meanwhile with the tasks that are here.
    this.#ring();
    const ms = Math.min(RETRY_MS * 2 ** this.#faults++, MAX_RETRY_MS);
    await delay(ms, { signal }).catch(() => undefined);
  }

  #ring(): void {
    this.#fetched.resolve();
    this.#fetched = Promise.withResolvers();
  }
}

function isBehind(
  { runAt, serial }: Pick<LiveTask, "runAt" | "serial">,
  place: { runAt: number; ord: number },
): boolean {
  return runAt > place.runAt || (runAt === place.runAt && serial > place.ord);
}
