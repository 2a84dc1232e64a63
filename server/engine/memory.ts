/**
 * The engine that keeps tasks in this process' memory and nowhere else. Fast, and gone with the
 * process. Every change of a task goes through `transition`; this room finds the task, keeps the
 * queue, the timers' order and the counts in step with it, and nothing more.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_DEATHS } from "../../protocol/limits.ts";
import { isFinal, type Status, type StatusCounts } from "../../protocol/task.ts";
import { backoffMs } from "../task/backoff.ts";
import type { FinishedTask } from "../task/finished_task.ts";
import type { NewTask } from "../task/new_task.ts";
import { asksTheSame } from "../task/same_task.ts";
import { SerialMap } from "../task/serial_map.ts";
import { type TaskEvent, transition } from "../task/transition.ts";
import { DueQueue } from "./due_queue.ts";
import type {
  Ack,
  Cancelled,
  Engine,
  Enqueued,
  Leased,
  LeasedTask,
  LeaseRequest,
  Listed,
  ListRequest,
  Nack,
  Pruned,
  Requeued,
  TaskRecord,
} from "./engine.ts";
import { FinishedShelf, type ShelfLimits } from "./finished_shelf.ts";
import { MemoryTask } from "./memory_task.ts";
import { KeptSettings } from "./settings.ts";
import { ReadyQueue } from "./ready_queue.ts";
import { TaskIndex } from "./task_index.ts";

export interface MemoryOptions {
  /** Finished tasks kept at most, the oldest dropped first. */
  kept?: ShelfLimits;
  /** 0…1, for the jitter of a backoff. */
  random?: () => number;
  /** New tasks are refused while so many are queued or delayed. */
  maxQueued?: number;
  /** Or while the payloads of all tasks that are not final are so many characters. */
  maxOpenChars?: number;
}

/** A day of finished tasks, the default `keep`, does not fit in memory at full speed; these do. */
const KEPT: ShelfLimits = { told: 10_000, untold: 500_000 };

const CREATED: Enqueued = { status: "queued", outcome: "created", finished: undefined };
const CREATED_DELAYED: Enqueued = { ...CREATED, status: "delayed" };
const FULL: Enqueued = { ...CREATED, outcome: "full" };

/** Opens an empty memory engine. */
export function openMemoryEngine(options: MemoryOptions = {}): Engine {
  return new MemoryEngine(options);
}

class MemoryEngine implements Engine {
  readonly name = "memory";
  readonly traits = { durable: false, priorities: true, shared: false };
  readonly settings = new KeptSettings();

  readonly #tasks = new TaskIndex();
  readonly #ready = new ReadyQueue<MemoryTask>();
  readonly #suspects = new ReadyQueue<MemoryTask>();
  readonly #running = new SerialMap<MemoryTask>();
  readonly #delayed = new DueQueue(({ state, runAt }, at) =>
    state.status === "delayed" && runAt === at
  );
  readonly #expiring = new DueQueue(({ state }) => !isFinal(state.status));
  readonly #shelf: FinishedShelf;
  readonly #counts: StatusCounts = {
    queued: 0,
    delayed: 0,
    running: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
  };
  readonly #random: () => number;
  readonly #maxQueued: number;
  readonly #maxOpenChars: number;
  #openChars = 0;
  #order = 0;
  #lease = 0;

  constructor(options: MemoryOptions) {
    this.#random = options.random ?? Math.random;
    this.#maxQueued = options.maxQueued ?? Infinity;
    this.#maxOpenChars = options.maxOpenChars ?? Infinity;
    this.#shelf = new FinishedShelf(options.kept ?? KEPT, (task) => this.#remove(task));
  }

  enqueue(tasks: readonly NewTask[], _now: number): Promise<Enqueued[]> {
    return settle(() => tasks.map((task) => this.#enqueue(task)));
  }

  lease(request: LeaseRequest, now: number): Promise<Leased> {
    return settle(() => {
      this.#queueDue(now);
      const tasks: LeasedTask[] = [];
      const expired: FinishedTask[] = [];
      while (tasks.length < request.limit) {
        const task = (request.suspects ? this.#suspects : this.#ready).take(request.ops);
        if (!task) break;
        if (task.task.expiresAt <= now) {
          this.#end(task, { type: "expire" }, now, expired);
          continue;
        }
        const lease = ++this.#lease;
        this.#move(task, { type: "lease", lease });
        task.startedAt = now;
        task.leaseUntil = now + request.leaseMs;
        this.#running.set(lease, task);
        tasks.push(task);
      }
      return {
        tasks,
        expired,
        nextDueAt: this.#delayed.nextAt,
        hasSuspects: this.#suspects.has(request.ops),
      };
    });
  }

  renew(leases: readonly number[], leaseMs: number, now: number): Promise<number[]> {
    return settle(() =>
      leases.filter((lease) => {
        const task = this.#running.get(lease);
        if (task) task.leaseUntil = now + leaseMs;
        return !task;
      })
    );
  }

  ack(acks: readonly Ack[], now: number): Promise<FinishedTask[]> {
    return settle(() => {
      const finished: FinishedTask[] = [];
      for (const { lease, result } of acks) {
        const task = this.#running.take(lease);
        if (!task) continue;
        task.result = result;
        this.#end(task, { type: "complete", lease }, now, finished);
      }
      return finished;
    });
  }

  nack(nacks: readonly Nack[], now: number): Promise<FinishedTask[]> {
    return settle(() => {
      const finished: FinishedTask[] = [];
      // The last released goes back first, so that they come out in their old order.
      for (const nack of nacks.toReversed()) this.#nack(nack, now, finished);
      return finished.reverse();
    });
  }

  reclaim(now: number): Promise<{ lost: number[]; finished: FinishedTask[] }> {
    return settle(() => {
      const finished: FinishedTask[] = [];
      const lost = [...this.#running.entries()].filter(([, task]) => task.leaseUntil <= now)
        .map(([lease]) => lease);
      for (const lease of lost) this.#nack({ lease, reason: "died" }, now, finished);
      return { lost, finished };
    });
  }

  cancel(ids: readonly string[], now: number): Promise<Cancelled[]> {
    return settle(() => ids.map((id) => this.#cancel(id, now)));
  }

  requeue(ids: readonly string[], _now: number): Promise<Requeued[]> {
    return settle(() => ids.map((id) => this.#requeue(id)));
  }

  get(ids: readonly string[]): Promise<(TaskRecord | undefined)[]> {
    return settle(() => ids.map((id) => this.#tasks.get(id)?.record()));
  }

  list(request: ListRequest): Promise<Listed> {
    return settle(() => {
      const before = request.cursor === undefined ? Infinity : readCursor(request.cursor);
      let page: MemoryTask[] = [];
      for (const task of this.#tasks.values()) {
        if (task.order >= before) continue;
        if (request.status !== undefined && task.state.status !== request.status) continue;
        if (request.op !== undefined && task.op !== request.op) continue;
        page.push(task);
        if (page.length > 4 * (request.limit + 1)) page = newest(page, request.limit + 1);
      }
      page = newest(page, request.limit + 1);
      // One more than asked for, to know whether there is another page.
      const more = page.length > request.limit ? page.pop() : undefined;
      return {
        tasks: page.map((task) => task.record()),
        cursor: more && String(page.at(-1)?.order),
      };
    });
  }

  stats(): Promise<StatusCounts> {
    return settle(() => ({ ...this.#counts }));
  }

  prune(now: number): Promise<Pruned> {
    return settle(() => {
      const expired: FinishedTask[] = [];
      for (let task = this.#expiring.take(now); task; task = this.#expiring.take(now)) {
        if (task.state.status === "queued" || task.state.status === "delayed") {
          this.#end(task, { type: "expire" }, now, expired);
        }
      }
      return {
        removed: this.#shelf.prune(now),
        expired,
        nextAt: Math.min(this.#expiring.nextAt, this.#shelf.nextAt),
      };
    });
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  #enqueue(task: NewTask): Enqueued {
    const known = task.idGiven ? this.#tasks.get(task.id) : undefined;
    if (known) {
      const same = asksTheSame(known.task.payload, task.payload);
      return {
        status: known.state.status,
        outcome: same ? "exists" : "conflict",
        finished: same ? known.finished() : undefined,
      };
    }
    const { queued, delayed } = this.#counts;
    const openChars = this.#openChars + task.payload.length;
    if (queued + delayed >= this.#maxQueued || openChars > this.#maxOpenChars) return FULL;
    this.#openChars = openChars;
    const kept = new MemoryTask(task, ++this.#order);
    this.#tasks.add(kept);
    const status = kept.state.status;
    this.#counts[status]++;
    if (status === "delayed") this.#delayed.push(kept, kept.runAt);
    else this.#ready.push(kept);
    if (task.expiresAt !== Infinity) this.#expiring.push(kept, task.expiresAt);
    return status === "delayed" ? CREATED_DELAYED : CREATED;
  }

  #nack(nack: Nack, now: number, finished: FinishedTask[]): void {
    const { lease, reason } = nack;
    const task = this.#running.take(lease);
    if (!task) return;
    switch (reason) {
      case "released":
        return this.#end(task, { type: "release", lease }, now, finished);
      case "stopped":
        return this.#end(task, { type: "stop", lease }, now, finished);
      case "died":
        if (task.state.deaths + 1 === MAX_DEATHS) {
          task.error = {
            code: "worker_crashed",
            message: `its worker process died ${MAX_DEATHS} times while it was running`,
          };
        }
        return this.#end(task, { type: "die", lease }, now, finished);
      case "failed": {
        const { attempts, backoffMs: base } = task.task.rules;
        const { attempt } = task.state;
        task.error = nack.error;
        task.runAt = now + backoffMs(base, attempt, this.#random());
        const again = !nack.last && attempt < attempts;
        this.#end(task, { type: "fail", lease, again }, now, finished);
      }
    }
  }

  #cancel(id: string, now: number): Cancelled {
    const task = this.#tasks.get(id);
    const nothing = { status: undefined, lease: undefined, finished: undefined };
    if (!task) return { ...nothing, outcome: "not_found" };
    const finished: FinishedTask[] = [];
    this.#end(task, { type: "cancel" }, now, finished);
    const { status, lease } = task.state;
    if (status === "running") return { ...nothing, outcome: "running", status, lease };
    if (finished.length === 0) return { ...nothing, outcome: "final", status };
    return { ...nothing, outcome: "cancelled", status, finished: finished[0] };
  }

  #requeue(id: string): Requeued {
    const task = this.#tasks.get(id);
    if (!task) return { outcome: "not_found", status: undefined };
    if (!this.#move(task, { type: "retry" })) {
      return { outcome: "refused", status: task.state.status };
    }
    this.#shelf.takeBack(task);
    this.#openChars += task.payload.length;
    task.result = undefined;
    task.error = undefined;
    task.startedAt = 0;
    task.finishedAt = 0;
    this.#ready.push(task);
    return { outcome: "queued", status: "queued" };
  }

  /** Delayed tasks whose time has come stand at the end of the queue, in the order of their times. */
  #queueDue(now: number): void {
    for (let task = this.#delayed.take(now); task; task = this.#delayed.take(now)) {
      if (!this.#move(task, { type: "due" })) continue;
      (task.isSuspect ? this.#suspects : this.#ready).push(task);
    }
  }

  /** Applies `event`; `undefined` where it is refused. Keeps the counts. */
  #move(task: MemoryTask, event: TaskEvent): Status | undefined {
    const next = transition(task.state, event);
    if (!next) return undefined;
    this.#counts[task.state.status]--;
    this.#counts[next.status]++;
    task.state = next;
    return next.status;
  }

  /** Applies an event that ends something, and puts the task where it belongs after it. */
  #end(task: MemoryTask, event: TaskEvent, now: number, finished: FinishedTask[]): void {
    const status = this.#move(task, event);
    if (status === undefined || status === "running") return;
    if (status === "queued") {
      (task.isSuspect ? this.#suspects : this.#ready).pushFront(task);
    } else if (status === "delayed") {
      this.#delayed.push(task, task.runAt);
    } else {
      task.finishedAt = now;
      this.#openChars -= task.payload.length;
      if (status !== "failed") task.error = undefined;
      const news = task.finished();
      if (news) finished.push(news);
      this.#shelf.put(task);
    }
  }

  #remove(task: MemoryTask): void {
    this.#tasks.remove(task);
    this.#counts[task.state.status]--;
  }
}

/** Runs `work` now and answers as the seam wants it: an error is a rejection, never a throw. */
function settle<T>(work: () => T): Promise<T> {
  try {
    return Promise.resolve(work());
  } catch (error) {
    return Promise.reject(error);
  }
}

function newest(tasks: MemoryTask[], count: number): MemoryTask[] {
  return tasks.sort((a, b) => b.order - a.order).slice(0, count);
}

function readCursor(cursor: string): number {
  const order = /^\d{1,15}$/.test(cursor) ? Number(cursor) : NaN;
  if (Number.isNaN(order)) {
    throw new SdError("bad_request", `the cursor is one that list answered; this is "${cursor}"`);
  }
  return order;
}
