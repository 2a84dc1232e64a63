/** One submitted task from the client's side: first the server's acknowledgement, then its end. */

import type { JsonObject } from "../protocol/message.ts";
import type { Status } from "../protocol/task.ts";
import type { Exchange } from "./connection.ts";
import { refusalOf } from "./refusal.ts";
import { endOf, type TaskEnd } from "./task_end.ts";

/** What the server said first of a task that it took. */
export interface Acknowledged {
  id: string;
  status: Status;
}

/** Takes the replies to one submitted line. */
export class Submission implements Exchange {
  readonly #acknowledged = Promise.withResolvers<Acknowledged>();
  readonly #end = Promise.withResolvers<TaskEnd>();
  readonly #wait: boolean;
  #isAcknowledged = false;

  /** `wait`: whether the server was asked to send the end as well. */
  constructor(wait: boolean) {
    this.#wait = wait;
    // Whoever wants the end awaits it and sees the error there; who does not need not.
    this.#end.promise.catch(() => undefined);
  }

  /** Rejects with the `SdError` that the server refused the task with. */
  get acknowledged(): Promise<Acknowledged> {
    return this.#acknowledged.promise;
  }

  get end(): Promise<TaskEnd> {
    return this.#end.promise;
  }

  take(reply: JsonObject): boolean {
    if (reply.task_id === undefined) {
      this.fail(refusalOf(reply));
      return true;
    }
    const first = !this.#isAcknowledged;
    if (first) {
      this.#isAcknowledged = true;
      const id = String(reply.task_id);
      this.#acknowledged.resolve({ id, status: reply.status as Status });
    }
    // A task that exists already may be final in the very first line.
    const end = endOf(reply);
    if (end) this.#end.resolve(end);
    return end !== undefined || (first && !this.#wait);
  }

  fail(error: Error): void {
    this.#acknowledged.reject(error);
    this.#end.reject(error);
  }
}
