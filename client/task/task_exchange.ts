/**
 * One submitted task from the client's side: first the server's acknowledgement, then its end. When
 * the connection is lost in between:
 *
 *     not acknowledged   the same line again: with its id it is the same task, taken or not
 *     acknowledged       `wait`: the line again could run a task again whose record was dropped
 */

import { ClientError } from "../../net/client_error.ts";
import { SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Status } from "../../protocol/task.ts";
import type { Exchange } from "../connection/exchange.ts";
import { refusalOf } from "../connection/refusal.ts";
import { endOf, type TaskEnd } from "./task_end.ts";

/** What the server said first of a task that it took. */
export interface Acknowledged {
  id: string;
  status: Status;
}

export interface SubmittedLine {
  readonly json: string;
  /** That in its `task`; without one the line cannot be sent again. */
  readonly id: string | undefined;
  /** Whether the server is asked to send the end as well. */
  readonly wait: boolean;
}

/** Who is told of a task: called and not promised, since a million tasks are told so. None may throw. */
export interface TaskListener {
  acknowledged(task: Acknowledged): void;
  /** Where the server was asked to send the end. */
  ended(end: TaskEnd): void;
  /** `SdError`: the server refused it, or has lost it. Nothing comes after it. */
  failed(error: Error): void;
}

/** Takes the replies to one submitted line. */
export class TaskExchange implements Exchange {
  readonly #listener: TaskListener;
  readonly #wait: boolean;
  #id: string | undefined;
  /** The line, until it is acknowledged. */
  #json: string | undefined;
  #asksForEnd = false;

  constructor({ json, id, wait }: SubmittedLine, listener: TaskListener) {
    this.#json = json;
    this.#id = id;
    this.#wait = wait;
    this.#listener = listener;
  }

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
      this.#listener.acknowledged({ id: this.#id, status: reply.status as Status });
    }
    // A task that exists already may be final in the very first line.
    const end = endOf(reply);
    if (end && this.#wait) this.#listener.ended(end);
    return end !== undefined || (first && !this.#wait);
  }

  fail(error: Error): void {
    const isOpen = this.#json !== undefined;
    const told = isOpen && error instanceof ClientError ? uncertain(this.#id, error) : error;
    this.#listener.failed(told);
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

/** Whoever submits it again needs the id that it went out with. */
function uncertain(id: string | undefined, error: ClientError): ClientError {
  const hint = id === undefined
    ? "the task may have been taken or not"
    : `the task may have been taken or not; with the id ${id}, submitting it again is safe`;
  return new ClientError(error.code, error.message, { cause: error.cause, hint });
}
