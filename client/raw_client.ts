/**
 * The untyped part of a client: lines out, replies in. The methods of `Client` use it, and so do the commands, which need
 * more than these methods. `rawOf` in `server_client.ts` gets it from a client; the package does not export it.
 */

import { ClientError } from "../net/client_error.ts";
import type { JsonObject } from "../protocol/message.ts";
import type { TaskView } from "../protocol/task.ts";
import { abortable } from "./connection/promises.ts";
import { ask, type AskOptions } from "./connection/question.ts";
import type { Abortable } from "./connection/call_options.ts";
import { ReplyStream } from "./connection/exchange.ts";
import type { SteadyConnection } from "./connection/steady_connection.ts";
import { Submission, type Submitted, SubmittedTask } from "./task/submitted.ts";
import { endOf, type TaskEnd } from "./task/task_end.ts";
import type { SubmittedLine, TaskExchange } from "./task/task_exchange.ts";

/** Options of a command with many replies. */
interface RepliesOptions extends Abortable {
  /** Asked when the connection is lost: whether to ask again on the next one. Default: the loss ends the command. */
  resumes?: () => boolean;
}

export class RawClient {
  readonly #connection: SteadyConnection;

  constructor(connection: SteadyConnection) {
    this.#connection = connection;
  }

  /** The server's address, as `host:port`. */
  get target(): string {
    return this.#connection.target;
  }

  /** The reason why there is no connection now; `undefined` while there is one. */
  get lostBy(): Error | undefined {
    return this.#connection.lostBy;
  }

  /** The token to say hello with on later connections. */
  set token(token: string) {
    this.#connection.token = token;
  }

  /** Await it before many sends: it resolves once the text that waits is written. `undefined` if little waits. */
  get room(): Promise<void> | undefined {
    return this.#connection.room;
  }

  /** Sends a line at once; its replies go to `exchange`. Before many lines, await `room`. */
  send(json: string, exchange: TaskExchange): void {
    this.#connection.send(json, exchange);
  }

  /**
   * Submits the text of an object with `op`. `id` is the one in its `task`; a line without an id rejects if the
   * connection is lost before the acknowledgement, since it is not known whether the server took it. `wait` is
   * that of its `task`.
   */
  async submit<Result = unknown>(
    { json, id, wait, signal }: SubmittedLine & Abortable,
  ): Promise<Submitted<Result>> {
    signal?.throwIfAborted();
    // Without an `await` if there is room, so that lines leave in the order of the calls.
    while (this.#connection.room) await abortable(this.#connection.room, signal);
    const submission = new Submission({ json, id, wait });
    const ref = this.#connection.send(json, submission);
    const acknowledged = await abortable(submission.acknowledged, signal, () => {
      if (this.#connection.withdraw(ref)) return;
      submission.acknowledged.then((task) => this.abandon(task.id), () => undefined);
    });
    return new SubmittedTask({
      ...acknowledged,
      end: wait ? () => submission.end : () => this.end(acknowledged.id),
    });
  }

  /** Sends a command and returns its one reply, which must come within `options.ms` (30,000). */
  async ask<Answer>(message: JsonObject, options?: AskOptions): Promise<Answer> {
    return await ask<Answer>(this.#connection, message, options);
  }

  /**
   * Sends a command with many replies and calls `take` with each; `take` returns true for the last one. Rejects
   * with an error that `take` throws.
   */
  async replies(
    message: JsonObject,
    take: (reply: JsonObject) => boolean,
    { resumes = () => false, signal }: RepliesOptions = {},
  ): Promise<void> {
    signal?.throwIfAborted();
    const json = JSON.stringify(message);
    const stream = new ReplyStream({ json, take, resumes });
    const ref = this.#connection.send(json, stream);
    await abortable(stream.ended, signal, () => {
      this.#connection.forget(ref);
      stream.fail(signal?.reason);
    });
  }

  /** The task once it is final. */
  async wait(id: string, options?: Abortable): Promise<TaskView> {
    return await this.ask<TaskView>({ cmd: "wait", task_id: id }, { ...options, ms: Infinity });
  }

  /** The end of a task, once it is final. */
  async end(id: string, options?: Abortable): Promise<TaskEnd> {
    const view = await this.wait(id, options);
    const end = endOf(view);
    if (!end) throw new ClientError("unreachable", `the server called ${view.status} final`);
    return end;
  }

  /** Cancels a task whose caller was aborted. */
  abandon(id: string): void {
    // The task may have ended just now, or the connection be lost: either way there is nothing to cancel.
    this.ask({ cmd: "cancel", task_id: id }, { ms: Infinity }).catch(() => undefined);
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}
