/** Counts since the start of the server, and its present notices. One object, shared by every part that counts. */

import type { IntakeView, Notice } from "../protocol/task.ts";

export class Metrics {
  /** The notices, each by the name of its subject. */
  readonly notices = new Map<string, Notice>();
  /** The sources of tasks beside clients, as they are now. */
  intakes: (() => IntakeView[]) | undefined;
  submitted = 0;
  finished = 0;
  connections = 0;
  /** Number of times that due tasks did not start though a worker was idle. */
  standstills = 0;
}
