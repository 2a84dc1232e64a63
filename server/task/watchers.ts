/**
 * Who watches the tasks of this server, and what they are told: a line for every turn that the life of a
 * task takes. Whoever changes a task asks `any` first: while nobody watches, nothing more is done.
 */

import type { WatchEvent } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";

/** What of a task every event tells. */
export interface WatchedTask {
  readonly id: string;
  readonly op: string;
  /** 0 before the first. */
  readonly attempt: number;
}

export interface Watcher {
  wants(task: WatchedTask): boolean;
  /** Must not throw, nor wait for anything. */
  take(event: ToldEvent): void;
}

/** An event on its way to its watchers: put into JSON once, however many they are. */
export class ToldEvent {
  #json: string | undefined;

  constructor(readonly event: WatchEvent) {}

  get json(): string {
    return this.#json ??= JSON.stringify(this.event);
  }
}

/** What some events tell beside the task. */
export type EventDetails = Pick<WatchEvent, "error" | "progress" | "log">;

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether it is worth while to tell anything. */
  get any(): boolean {
    return this.#watchers.size > 0;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Tells everyone who wants to know of `task`. */
  tell(name: WatchEvent["event"], task: WatchedTask, details?: EventDetails): void {
    let event: ToldEvent | undefined;
    for (const watcher of this.#watchers) {
      if (watcher.wants(task)) {
        watcher.take(event ??= new ToldEvent(this.#event(name, task, details)));
      }
    }
  }

  #event(name: WatchEvent["event"], task: WatchedTask, details?: EventDetails): WatchEvent {
    return {
      event: name,
      at: new Date(this.#clock.wall()).toISOString(),
      task_id: task.id,
      op: task.op,
      ...(task.attempt > 0 ? { attempt: task.attempt } : {}),
      ...(details?.error && { error: details.error }),
      ...(details?.progress && { progress: details.progress }),
      ...(details?.log && { log: details.log }),
    };
  }
}
