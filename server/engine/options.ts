/** How an engine is opened: what an operator may choose, whichever engine it is. */

import type { EndedSink } from "./engine.ts";

export const DURABILITIES = ["full", "normal"] as const;
export type Durability = typeof DURABILITIES[number];

export interface EngineOptions {
  /** Receives the ends of tasks; default: nothing does. */
  readonly ended?: EndedSink;
  /** New tasks are refused while so many are queued or delayed; default: no limit. */
  readonly maxQueued?: number;
  /** Or while the payloads of all tasks that are not final take so much, where they are in memory. */
  readonly maxQueuedBytes?: number;
  /** Where `sqlite:` without a path has its file; default: the state directory of the user. */
  readonly dataDir?: string | undefined;
  /** `full` survives a power failure, `normal` the end of the process. */
  readonly durability?: Durability;
  /** Records of final tasks that a file keeps at most. */
  readonly maxKept?: number;
  /** Bytes of a file in use, above which the oldest final tasks go. */
  readonly maxFileBytes?: number;
  /** What an operator has to know. */
  readonly report?: (message: string) => void;
}
