/**
 * One submitted task from the client's side: first the server's acknowledgement, then its end. After a lost connection
 * the client sends:
 *
 *     not acknowledged   the same line: with the same id it is the same task, whether the server took it or not
 *     acknowledged       `wait`: the same line could run a task again whose record was dropped
 */

import { ClientError } from "../../net/client_error.ts";
import { SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Status } from "../../protocol/task.ts";
import type { Exchange } from "../connection/exchange.ts";
import { refusalOf } from "../connection/connection_errors.ts";
import { endOf, type TaskEnd } from "./task_end.ts";

/** The server's first reply to a task that it took. */
export interface Acknowledged {
  id: string;
  status: Status;
}

/** A line that submits a task. */
export interface SubmittedLine {
  readonly json: string;
  /** The id in its `task`; a line without one cannot be sent again. */
  readonly id: string | undefined;
  /** Whether the server is asked to send the end as well: the `wait` of its `task`. */
  readonly wait: boolean;
}

/** Takes the replies to one submitted line. A million tasks are reported by calls, not by promises. */
export abstract class TaskExchange implements Exchange {
  readonly #wait: boolean;
  #id: string | undefined;
  /** The line, until it is acknowledged. */
  #json: string | undefined;
  #asksForEnd = false;

  constructor({ json, id, wait }: SubmittedLine) {
    this.#json = json;
    this.#id = id;
    this.#wait = wait;
  }

  /** Called first, once the server has the task. Must not throw; nor may the other two. */
  protected abstract taken(task: Acknowledged): void;
  /** Called last, if the server was asked to send the end. */
  protected abstract ended(end: TaskEnd): void;
  /** Called last: an `SdError` if the server refused the task or has lost it. */
  protected abstract failed(error: Error): void;

  take(reply: JsonObject): boolean {
    if (reply.task_id === undefined) {
      const refusal = refusalOf(reply);
      const isLost = this.#asksForEnd && refusal.code === "not_found";
      this.fail(isLost ? forgotten(this.#id, refusal) : refusal);
      return true;
    }
    const first = this.#json !== undefined;
    if (first) {
      this.#json = undefined;
      this.#id = String(reply.task_id);
      this.taken({ id: this.#id, status: reply.status as Status });
    }
    // A task that exists already can be final in the very first reply.
    const end = endOf(reply);
    if (end && this.#wait) this.ended(end);
    return end !== undefined || (first && !this.#wait);
  }

  fail(error: Error): void {
    const isOpen = this.#json !== undefined;
    this.failed(isOpen && error instanceof ClientError ? uncertain(this.#id, error) : error);
  }

  again(): string | undefined {
    if (this.#json !== undefined) return this.#id === undefined ? undefined : this.#json;
    this.#asksForEnd = true;
    return JSON.stringify({ cmd: "wait", task_id: this.#id });
  }
}

function forgotten(id: string | undefined, cause: SdError): SdError {
  return new SdError(
    "not_found",
    `the server took task ${id} and no longer knows it: it has lost its tasks or dropped this one; ` +
      "the task may have run",
    { cause },
  );
}

/** The hint names the id, which a second submit needs. */
function uncertain(id: string | undefined, error: ClientError): ClientError {
  const hint = id === undefined
    ? "the task may have been taken or not"
    : `the task may have been taken or not; with the id ${id}, submitting it again is safe`;
  return new ClientError(error.code, error.message, { cause: error.cause, hint });
}
