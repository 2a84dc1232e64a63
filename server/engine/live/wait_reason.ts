/** The reason why a task in memory does not run; and repairs of the queue for a recheck. Used by both engines. */

import type { WaitReason } from "../engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

/** The reason for a task that is not final. The engine adds the number of tasks before it. */
export function waitReasonOf(live: LiveTasks, task: LiveTask, now: number): WaitReason {
  const { status } = task.state;
  if (status === "running") return { heldBy: "running" };
  if (task.unmet > 0) return { heldBy: "after", after: live.dependencies.unmetOf(task) };
  if (status === "delayed" && live.delayed.dueAt(task) > now) {
    return { heldBy: "time", until: task.runAt };
  }
  return live.gate.look(task, now) ?? { heldBy: task.isSuspect ? "suspect" : "turn" };
}

/** Whether the number of tasks before it matters. */
export function waitsInLine({ heldBy }: WaitReason): boolean {
  return heldBy !== "running" && heldBy !== "after" && heldBy !== "time";
}

/** Whether `other` comes before `task` by priority and order. */
export function isAhead(other: LiveTask, task: LiveTask): boolean {
  return other.priority > task.priority ||
    (other.priority === task.priority && other.seq < task.seq);
}

/** Most heads of lanes that one repair looks at. */
const MAX_HEADS = 10_000;

/**
 * Repairs lanes that have ready tasks but that no event would look at. `found`: the number of such lanes; `startable`: the
 * number of heads of `ops` that can start. There can be very many keys, so each step looks at one.
 */
export function* repairQueue(
  live: LiveTasks,
  ops: ReadonlySet<string>,
  now: number,
): Generator<void, { found: number; startable: number }> {
  live.wake(now);
  const found = yield* live.ready.repair((task) => live.gate.look(task, now) !== undefined);
  let startable = 0;
  for (const task of live.ready.heads(MAX_HEADS)) {
    yield;
    if (ops.has(task.op) && !live.gate.look(task, now)) startable++;
  }
  return { found, startable };
}
