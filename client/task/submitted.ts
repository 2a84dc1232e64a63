/** A task that the server has taken, in the hands of whoever submitted it. */

import type { Status } from "../../protocol/task.ts";
import { deferred, handled } from "../connection/promises.ts";
import { type Acknowledged, type SubmittedLine, TaskExchange } from "./task_exchange.ts";
import { resultOfEnd, type TaskEnd } from "./task_end.ts";

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
