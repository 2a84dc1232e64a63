/** What a task has said, for whoever asks: what its engine keeps of the runs that have ended, and what the one that goes on has said so far. */

import type { TaskLogView } from "../../protocol/task.ts";
import type { Asker, Engine, Lease, TaskRecord } from "../engine/engine.ts";
import { countOf, joined, logLine, type TaskLog } from "../task/task_log.ts";

export interface LogSources {
  readonly engine: Pick<Engine, "get">;
  /** What the run under a lease has said; `undefined` where nobody knows of it, or it said nothing. */
  readonly logOf: (lease: Lease) => TaskLog | undefined;
  readonly asker?: Asker | undefined;
}

/** `undefined` where there is no such task. */
export async function readTaskLog(
  { engine, logOf, asker }: LogSources,
  id: string,
): Promise<TaskLogView | undefined> {
  let lease: Lease | undefined;
  for (;;) {
    const [record] = await engine.get([id], { log: true, asker });
    if (!record) return undefined;
    if (record.lease === undefined) return viewOf(record, undefined);
    const running = logOf(record.lease);
    // Its run may have ended since the engine was asked; asked again, it has that one's log as well.
    if (running || record.lease === lease) return viewOf(record, running);
    lease = record.lease;
  }
}

function viewOf(record: TaskRecord, running: TaskLog | undefined): TaskLogView {
  const { id, status, trail, log: ended } = record;
  const log = running ? joined(ended, running) : ended ?? [];
  const count = Math.max(trail?.logged ?? 0, countOf(log));
  return { task_id: id, status, log: log.map(logLine), dropped: count - log.length };
}
