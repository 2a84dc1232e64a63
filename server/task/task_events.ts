/**
 * The waits for the ends of tasks, and the delivery of the ends to them. Sessions add waits; the engine's sink calls
 * `emit`. A wait is for an id, so another server of the same store can end the task. An id that this server made is looked
 * up by the number at its end, which is cheaper than a map of strings. Waits of closed connections are removed together, so that closing one
 * connection does not delay the others.
 */

import type { Ref } from "../../protocol/message.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { Metrics } from "../metrics.ts";
import type { NewTask } from "./new_task.ts";
import { SerialMap } from "./serial_map.ts";
import { serialOf } from "./task_id.ts";
import { Watchers } from "./watchers.ts";
import type { ErrorBody, FailureCode } from "../../protocol/errors.ts";
import type { FinalStatus } from "../../protocol/task.ts";

export class TaskEvents {
  /** The watches, which report more than the end of a task. */
  readonly watchers: Watchers;
  readonly #metrics: Metrics;
  readonly #bySerial = new WaitTable(new SerialMap<Wait>());
  readonly #byId = new WaitTable(new WaitsById());
  #closed = 0;

  constructor(metrics: Metrics, clock: Clock = systemClock) {
    this.#metrics = metrics;
    this.watchers = new Watchers(clock);
  }

  /** The number of tasks with waits, including waits of closed connections. */
  get size(): number {
    return this.#bySerial.size + this.#byId.size;
  }

  /** Waits for a task that is about to be enqueued. */
  waitForNew(task: NewTask, waiter: Waiter, ref: Ref | undefined): Wait {
    const wait = new Wait(task.id, waiter, ref);
    if (task.idGiven) this.#byId.add(task.id, wait);
    else this.#bySerial.add(task.serial, wait);
    return wait;
  }

  /** Takes back a wait of `waitForNew`; false if the end has been delivered already. */
  unwaitForNew(task: NewTask, wait: Wait): boolean {
    if (task.idGiven) return this.#byId.remove(task.id, wait);
    return this.#bySerial.remove(task.serial, wait);
  }

  wait(id: string, waiter: Waiter): Wait {
    const wait = new Wait(id, waiter, undefined);
    this.#byId.add(id, wait);
    return wait;
  }

  /** Takes back a wait of `wait`. */
  unwait(id: string, wait: Wait): void {
    this.#byId.remove(id, wait);
  }

  /** Delivers the ends of `tasks` to their waits, in the order in which the tasks ended. */
  emit(tasks: readonly FinishedTask[]): void {
    this.#metrics.finished += tasks.length;
    for (const task of tasks) {
      if (this.#bySerial.size > 0) {
        const serial = serialOf(task.id);
        // Another server's task can have the same number at the end of its id.
        if (this.#bySerial.first(serial)?.id === task.id) {
          report(this.#bySerial.take(serial), task);
        }
      }
      if (this.#byId.size > 0) report(this.#byId.take(task.id), task);
    }
    if (!this.watchers.any) return;
    for (const task of tasks) {
      this.watchers.publish(task.status, task, task.error ? { error: task.error } : undefined);
    }
  }

  /** Counts waits whose waiters have closed; when they are the half of all waits, they are removed. */
  forget(count: number): void {
    this.#closed += count;
    // Half of the table: sweeping then costs each wait at most one more visit.
    if (this.#closed * 2 <= this.size) return;
    this.#bySerial.sweep();
    this.#byId.sweep();
    this.#closed = 0;
  }
}

function report(first: Wait | undefined, task: FinishedTask): void {
  for (let wait = first; wait; wait = wait.next) {
    if (!wait.waiter.closed) wait.waiter.deliver(task, wait.ref);
  }
}

/** A receiver of the ends of tasks. */
export interface Waiter {
  /** It wants no more ends: its connection has closed. */
  readonly closed: boolean;
  deliver(task: FinishedTask, ref: Ref | undefined): void;
}

/** One wait, in the chain of all waits for its task. */
export class Wait {
  /** The next one that waits for the same task, and the one before. */
  next: Wait | undefined = undefined;
  previous: Wait | undefined = undefined;
  /** It is still in a chain. */
  isOpen = false;

  constructor(readonly id: string, readonly waiter: Waiter, readonly ref: Ref | undefined) {}
}

/** The map of a table: from a key to the first wait of a chain. */
interface WaitMap<Key> {
  readonly size: number;
  get(key: Key): Wait | undefined;
  set(key: Key, wait: Wait): unknown;
  take(key: Key): Wait | undefined;
  entries(): Iterable<[Key, Wait]>;
}

export class WaitTable<Key> {
  readonly #waits: WaitMap<Key>;

  constructor(waits: WaitMap<Key>) {
    this.#waits = waits;
  }

  get size(): number {
    return this.#waits.size;
  }

  add(key: Key, wait: Wait): void {
    const first = this.#waits.get(key);
    wait.next = first;
    wait.isOpen = true;
    if (first) first.previous = wait;
    this.#waits.set(key, wait);
  }

  /** Drops a wait that was added under `key`; false if it was taken or dropped before. */
  remove(key: Key, wait: Wait): boolean {
    if (!wait.isOpen) return false;
    const { next, previous } = wait;
    if (next) next.previous = previous;
    if (previous) previous.next = next;
    else if (next) this.#waits.set(key, next);
    else this.#waits.take(key);
    wait.isOpen = false;
    return true;
  }

  /** The first wait for `key`, which stays. */
  first(key: Key): Wait | undefined {
    return this.#waits.get(key);
  }

  /** All waits for `key`; they are taken out. */
  take(key: Key): Wait | undefined {
    const first = this.#waits.take(key);
    for (let wait = first; wait; wait = wait.next) wait.isOpen = false;
    return first;
  }

  /** Drops the waits of closed waiters. */
  sweep(): void {
    for (const [key, first] of [...this.#waits.entries()]) {
      for (let wait: Wait | undefined = first; wait; wait = wait.next) {
        if (wait.waiter.closed) this.remove(key, wait);
      }
    }
  }
}

/** A `Map` of waiters by ids that clients chose. */
export class WaitsById extends Map<string, Wait> implements WaitMap<string> {
  take(id: string): Wait | undefined {
    const wait = this.get(id);
    if (wait) this.delete(id);
    return wait;
  }
}

export interface FinishedTask {
  readonly id: string;
  readonly op: string;
  readonly status: FinalStatus;
  readonly attempt: number;
  /** The result in JSON; of a completed task only. */
  readonly result: string | undefined;
  /** Of a failed task only. */
  readonly error: ErrorBody<FailureCode> | undefined;
  /** Where its end is published; see `NewTask`. */
  readonly route?: string | undefined;
}

/**
 * The end of a task as a JSON object without its last brace, from parts that are JSON already: the line that a client gets,
 * and the body that is published. `mark` is put behind the status.
 */
export function openEnd(task: FinishedTask, mark = ""): string {
  const head = `{"task_id":"${task.id}","status":"${task.status}"${mark}`;
  if (task.status === "completed") return `${head},"result":${task.result}`;
  if (task.status !== "failed") return head;
  return `${head},"error":${JSON.stringify(task.error)},"attempt":${task.attempt}`;
}
