/** A client of the model: counts its waits, and compares them with the ends that it gets. */

import { assertEquals } from "@std/assert";
import type { Status } from "../../protocol/task.ts";
import type { FinishedTask, Waiter } from "../../server/task/task_events.ts";

export class WalkClient implements Waiter {
  readonly closed = false;
  /** By task: how many waits it has under way. */
  readonly #waiting = new Map<string, number>();
  readonly #expected: string[] = [];
  readonly #told: string[] = [];

  waits(id: string): void {
    this.#waiting.set(id, (this.#waiting.get(id) ?? 0) + 1);
  }

  /** The task has ended: each wait for it must get one end. */
  mustBeTold(id: string, status: Status): void {
    const times = this.#waiting.get(id) ?? 0;
    this.#waiting.delete(id);
    for (let i = 0; i < times; i++) this.#expected.push(`${id} ${status}`);
  }

  deliver({ id, status }: FinishedTask): void {
    this.#told.push(`${id} ${status}`);
  }

  /** Throws unless it got exactly the ends that it waited for. */
  check(): void {
    assertEquals(this.#told.toSorted(), this.#expected.toSorted());
    this.#told.length = 0;
    this.#expected.length = 0;
  }
}
