/** Counts since the server started, and the notices of now. One object, shared by every part that counts. */

import type { Notice } from "../protocol/task.ts";

export class Metrics {
  /** By what they are about. */
  readonly notices = new Map<string, Notice>();
  submitted = 0;
  finished = 0;
  connections = 0;
  /** How often due tasks stood still beside an idle worker. */
  standstills = 0;
}
