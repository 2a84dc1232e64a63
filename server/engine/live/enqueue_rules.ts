/** What becomes of a task that is submitted: new, there already, in conflict, one too many. */

import { isFinal, type Status } from "../../../protocol/task.ts";
import type { NewTask } from "../../task/new_task.ts";
import { asksTheSame } from "../../task/same_task.ts";
import type { Enqueued } from "../engine.ts";
import type { Parent } from "./dependencies.ts";
import { LiveTask } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

export interface IntakeOptions {
  readonly live: LiveTasks;
  /** A task that is kept, wherever that is. */
  readonly known: (id: string) => LiveTask | undefined;
  /** Queued and delayed tasks that there may be. */
  readonly maxQueued: number;
  /** Characters of the payloads of all tasks at hand that are not final. */
  readonly maxOpenChars: number;
}

const QUEUED: Enqueued = { status: "queued", outcome: "created", finished: undefined };
const DELAYED: Enqueued = { ...QUEUED, status: "delayed" };
const FULL: Enqueued = { ...QUEUED, outcome: "full" };

/**
 * Takes `task` in, or says why not; `kept` is the task that was made, `known` the one that was there already.
 */
export function takeIn(
  { live, known, maxQueued, maxOpenChars }: IntakeOptions,
  task: NewTask,
  now: number,
): { readonly enqueued: Enqueued; readonly kept?: LiveTask; readonly known?: LiveTask } {
  const other = task.idGiven ? known(task.id) : undefined;
  if (other) return { enqueued: compare(other, task), known: other };
  const { counts } = live;
  const isOver = counts.queued + counts.delayed >= maxQueued ||
    live.openChars + task.payload.length > maxOpenChars;
  if (isOver && !task.past) return { enqueued: FULL };
  // What happened to an imported task happened; those it came after may be gone.
  const parents = task.past && isFinal(task.past.status) ? NONE : parentsOf(task.after, known);
  if (typeof parents === "string") {
    return { enqueued: { ...QUEUED, outcome: "no_parent", missing: parents } };
  }
  const kept = new LiveTask(task);
  live.census.moved(kept.op, undefined, kept.state.status);
  live.add(kept, parents, now);
  const { status } = kept.state;
  if (status === "queued") return { enqueued: QUEUED, kept };
  if (status === "delayed") return { enqueued: DELAYED, kept };
  return { enqueued: { status, outcome: "created", finished: kept.finished() }, kept };
}

const NONE: readonly Parent[] = [];

/** The tasks with these ids, for one that comes after them; the id of one that is not there. */
export function parentsOf(
  after: readonly string[],
  known: (id: string) => LiveTask | undefined,
): readonly Parent[] | string {
  if (after.length === 0) return NONE;
  const parents: Parent[] = [];
  for (const id of after) {
    const parent = known(id);
    if (!parent) return id;
    parents.push({ serial: parent.serial, status: parent.state.status, result: parent.result });
  }
  return parents;
}

/** Whether a task may run once more: all that it comes after are there, and none ended otherwise. */
export function mayFollow(parents: readonly Parent[] | string): parents is readonly Parent[] {
  return typeof parents !== "string" &&
    parents.every(({ status }) => status === "completed" || !isFinal(status));
}

/** The first of the tasks that it comes after which keeps a task from running once more. */
export function hinderingParent(
  after: readonly string[],
  known: (id: string) => LiveTask | undefined,
): { id: string; status: Status | undefined } {
  const id = after.find((id) => {
    const status = known(id)?.state.status;
    return status === undefined || (isFinal(status) && status !== "completed");
  });
  if (id === undefined) throw new Error("no parent keeps it from running");
  return { id, status: known(id)?.state.status };
}

function compare(known: LiveTask, task: NewTask): Enqueued {
  const isSame = asksTheSame(known.payload, task.payload);
  return {
    status: known.state.status,
    outcome: isSame ? "exists" : "conflict",
    finished: isSame ? known.finished() : undefined,
  };
}
