/** The options of an engine that an operator can choose, for every engine. */

import type { EndedSink } from "./engine.ts";

export const DURABILITIES = ["full", "normal"] as const;
export type Durability = typeof DURABILITIES[number];

export interface EngineOptions {
  /** Receives the ends of tasks; default: nothing does. */
  readonly ended?: EndedSink;
  /** Most queued and delayed tasks; default: no limit. */
  readonly maxQueued?: number;
  /** Most bytes of the payloads of unfinished tasks, for an engine that keeps them in memory. */
  readonly maxQueuedBytes?: number;
  /** The folder of the file of `sqlite:` without a path; default: the state directory of the user. */
  readonly dataDir?: string | undefined;
  /** `full` survives a power failure, `normal` the end of the process. */
  readonly durability?: Durability;
  /** Most records of final tasks in a file. */
  readonly maxKept?: number;
  /** Bytes of a file in use, above which the oldest final tasks are dropped. */
  readonly maxFileBytes?: number;
  /** A file with the password of an engine that is a service. */
  readonly passwordFile?: string | undefined;
  /** Receives messages for the operator. */
  readonly report?: (message: string) => void;
}
