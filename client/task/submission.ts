/** One submitted task as promises: of its acknowledgement, and of its end. */

import { deferred } from "../connection/deferred.ts";
import { type Acknowledged, type SubmittedLine, TaskExchange } from "./task_exchange.ts";
import type { TaskEnd } from "./task_end.ts";

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
