/** Why a task at hand does not run: what its engine can tell of it. */

import type { WaitReason } from "../engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

/** Of a task that is not final; how many are before it is for the engine to add. */
export function standingOf(live: LiveTasks, task: LiveTask, now: number): WaitReason {
  const { status } = task.state;
  if (status === "running") return { heldBy: "running" };
  if (task.unmet > 0) return { heldBy: "after", after: live.kin.unmetOf(task) };
  if (status === "delayed" && live.delayed.dueAt(task) > now) {
    return { heldBy: "time", until: task.runAt };
  }
  return live.gate.look(task, now) ?? { heldBy: task.isSuspect ? "suspect" : "turn" };
}

/** Whether it matters how many are before it. */
export function waitsInLine({ heldBy }: WaitReason): boolean {
  return heldBy !== "running" && heldBy !== "after" && heldBy !== "time";
}

/** Whether `other` is handed out before `task`, as far as priority and order tell. */
export function isAhead(other: LiveTask, task: LiveTask): boolean {
  return other.priority > task.priority ||
    (other.priority === task.priority && other.seq < task.seq);
}

/** Heads of lanes that one look takes in. */
const MAX_HEADS = 10_000;

/**
 * Puts right what stands in the queue and what no event would start: `found` heads of lanes. Of the heads of `ops`,
 * `startable` are held back by nothing. There may be very many keys: it looks at one of them at a step.
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
