/** A task that the server has taken, in the hands of whoever submitted it. */

import type { Status } from "../../protocol/task.ts";
import { handled } from "../connection/deferred.ts";
import { resultOf, type TaskEnd } from "./task_end.ts";

export interface Submitted<Result = unknown> {
  readonly id: string;
  /** When it was taken: `queued`, `delayed`, or that of a task that had its id already. */
  readonly status: Status;
  /**
   * What the handler returned. Rejects with `TaskFailedError`, with `TaskEndedError` (cancelled or
   * expired), with `ClientError` code `unreachable` when the connection is lost for good, or with
   * `SdError` code `not_found` when the server came back without the task, which may have run. It
   * may be left alone: it never causes an unhandled rejection.
   */
  readonly result: Promise<Result>;
  /** The same, told instead of thrown. */
  readonly end: Promise<TaskEnd<Result>>;
}

/** Asks for the end when somebody first wants it, so that who only submits pays for nothing. */
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
    this.#result ??= handled(this.end.then(resultOf));
    return this.#result;
  }
}
