/** Which of the tasks at hand a request for a list names: the same for every engine. */

import type { ListRequest } from "./engine.ts";
import type { LiveTask } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

/** Those that `request` asks for, on whatever page, in no order; `undefined` for each that it looked at in vain. */
export function* listable(
  live: LiveTasks,
  request: ListRequest,
): Generator<LiveTask | undefined> {
  const { status } = request;
  if (status !== undefined && live.counts[status] === 0) return;
  if (status === "running") {
    // Few among many.
    for (const [, task] of live.running.entries()) if (fits(request, task)) yield task;
    return;
  }
  for (const task of live.index.values()) {
    const isWanted = status === undefined || task.state.status === status;
    yield isWanted && fits(request, task) ? task : undefined;
  }
}

function fits({ op, key, createdSince }: ListRequest, { task }: LiveTask): boolean {
  return (op === undefined || task.op === op) &&
    (key === undefined || task.bond?.key === key) &&
    (createdSince === undefined || task.createdAt >= createdSince);
}
