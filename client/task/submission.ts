/** One submitted task as promises: of its acknowledgement, and of its end. */

import { deferred } from "../connection/deferred.ts";
import { type Acknowledged, type SubmittedLine, TaskExchange } from "./task_exchange.ts";
import type { TaskEnd } from "./task_end.ts";

export class Submission extends TaskExchange {
  /** Rejects with the `SdError` that the server refused the task with. */
  readonly acknowledged: Promise<Acknowledged>;
  /** Where the server is asked to send it. */
  readonly end: Promise<TaskEnd>;

  constructor(line: SubmittedLine) {
    const acknowledged = deferred<Acknowledged>();
    const end = deferred<TaskEnd>();
    super(line, {
      acknowledged: acknowledged.resolve,
      ended: end.resolve,
      failed(error) {
        acknowledged.reject(error);
        end.reject(error);
      },
    });
    this.acknowledged = acknowledged.promise;
    this.end = end.promise;
    // Whoever wants the end awaits it and sees the error there; who does not need not.
    this.end.catch(() => undefined);
  }
}
