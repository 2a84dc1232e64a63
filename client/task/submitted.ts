/** A task that the server has taken, as `submit` returns it. */

import type { Status } from "../../protocol/task.ts";
import { deferred, handled } from "../connection/promises.ts";
import { type Acknowledged, type SubmittedLine, TaskExchange } from "./task_exchange.ts";
import { resultOfEnd, type TaskEnd } from "./task_end.ts";

/** A task that the server has committed. */
export interface Submitted<Result = unknown> {
  /** The id: yours, or a new UUIDv7. */
  readonly id: string;
  /** `queued` or `delayed`; if a task with this id existed already, its status. */
  readonly status: Status;
  /**
   * The value that the handler returned. Rejects with `TaskFailedError`; with `TaskEndedError` if the task was cancelled
   * or expired; with a `ClientError` of code `unreachable` if the connection is lost for good; or with an `SdError` of
   * code `not_found` if the server no longer knows the task, which can have run. A rejection that you do not await is
   * never unhandled.
   */
  readonly result: Promise<Result>;
  /** The end of the task, also if it has no result. Rejects only with `ClientError` and `SdError`, as `result` does. */
  readonly end: Promise<TaskEnd<Result>>;
}

/** Asks for the end at the first use of `end` or `result`, so that a submit alone costs nothing more. */
export class SubmittedTask<Result> implements Submitted<Result> {
  readonly id: string;
  readonly status: Status;
  readonly #startEnd: () => Promise<TaskEnd>;
  #end: Promise<TaskEnd<Result>> | undefined;
  #result: Promise<Result> | undefined;

  constructor(task: { id: string; status: Status; end: () => Promise<TaskEnd> }) {
    this.id = task.id;
    this.status = task.status;
    this.#startEnd = task.end;
  }

  get end(): Promise<TaskEnd<Result>> {
    this.#end ??= handled(this.#startEnd() as Promise<TaskEnd<Result>>);
    return this.#end;
  }

  get result(): Promise<Result> {
    this.#result ??= handled(this.end.then(resultOfEnd));
    return this.#result;
  }
}

/** One submitted line as promises: of its acknowledgement, and of its end. */
export class Submission extends TaskExchange {
  readonly #acknowledged = deferred<Acknowledged>();
  readonly #end = deferred<TaskEnd>();

  constructor(line: SubmittedLine) {
    super(line);
    // A caller that wants the end sees its rejection; for the others it must not count as unhandled.
    this.#end.promise.catch(() => undefined);
  }

  /** Rejects with the `SdError` that the server refused the task with. */
  get acknowledged(): Promise<Acknowledged> {
    return this.#acknowledged.promise;
  }

  /** Settles only if the server was asked to send the end. */
  get end(): Promise<TaskEnd> {
    return this.#end.promise;
  }

  protected override taken(task: Acknowledged): void {
    this.#acknowledged.resolve(task);
  }

  protected override ended(end: TaskEnd): void {
    this.#end.resolve(end);
  }

  protected override failed(error: Error): void {
    this.#acknowledged.reject(error);
    this.#end.reject(error);
  }
}
