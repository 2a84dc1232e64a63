/**
 * The rules for a submitted or requeued task: new, existing, in conflict, or refused; and for a run that goes on: adopted or
 * lost. Used by both engines.
 */

import { isFinal } from "../../../protocol/task.ts";
import { asksTheSame, type NewTask } from "../../task/new_task.ts";
import { transition } from "../../task/transition.ts";
import type { Enqueued, LeasedTask, Requeued } from "../engine.ts";
import type { AdoptRequest } from "../adoption.ts";
import type { Parent } from "./dependencies.ts";
import { LiveTask, type StoredState } from "./live_task.ts";
import type { LiveTasks } from "./live_tasks.ts";

interface EnqueueOptions {
  readonly live: LiveTasks;
  /** For an engine with a store: the state there of a new task. */
  readonly newStored?: () => StoredState;
  /** Finds a task in memory or, if it was read before, on disk. */
  readonly known: (id: string) => LiveTask | undefined;
  /** Most queued and delayed tasks. */
  readonly maxQueued: number;
  /** Most characters of the payloads of all tasks in memory that are not final. */
  readonly maxOpenChars: number;
}

const QUEUED: Enqueued = { status: "queued", outcome: "created", finished: undefined };
const DELAYED: Enqueued = { ...QUEUED, status: "delayed" };
const FULL: Enqueued = { ...QUEUED, outcome: "full" };

/** Adds `task`, or returns why it is not added. `kept`: the new task; `known`: the existing one. */
export function enqueueOne(
  { live, newStored, known, maxQueued, maxOpenChars }: EnqueueOptions,
  task: NewTask,
  now: number,
): { readonly enqueued: Enqueued; readonly kept?: LiveTask; readonly known?: LiveTask } {
  const other = task.idGiven ? known(task.id) : undefined;
  if (other) return { enqueued: compare(other, task), known: other };
  const { byStatus } = live.counts;
  const isOver = byStatus.queued + byStatus.delayed >= maxQueued ||
    live.openChars + task.payload.length > maxOpenChars;
  if (isOver && !task.past) return { enqueued: FULL };
  // An imported task that is final needs no parents; they can be gone.
  const parents = task.past && isFinal(task.past.status) ? NONE : parentsOf(task.after, known);
  if (typeof parents === "string") {
    return { enqueued: { ...QUEUED, outcome: "no_parent", missing: parents } };
  }
  const kept = new LiveTask(task, newStored?.());
  live.counts.moved(kept.op, undefined, kept.state.status);
  live.add(kept, parents, now);
  const { status } = kept.state;
  if (status === "queued") return { enqueued: QUEUED, kept };
  if (status === "delayed") return { enqueued: DELAYED, kept };
  return { enqueued: { status, outcome: "created", finished: kept.finished() }, kept };
}

const NONE: readonly Parent[] = [];

/** The parents with these ids, or the first id that is not there. */
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

/** The parents of a task that can run again, otherwise the refusal. All parents must exist, and none can have failed. */
export function checkRequeue(
  task: LiveTask,
  known: (id: string) => LiveTask | undefined,
): { parents: readonly Parent[]; refused?: undefined } | {
  parents?: undefined;
  refused: Requeued;
} {
  const { status } = task.state;
  const refused: Requeued = { outcome: "refused", status };
  if (!transition(task.state, { type: "retry" })) return { refused };
  for (const id of task.task.after) {
    const parent = known(id)?.state.status;
    if (parent === undefined || (isFinal(parent) && parent !== "completed")) {
      return { refused: { ...refused, parent: { id, status: parent } } };
    }
  }
  return { parents: parentsOf(task.task.after, known) as readonly Parent[] };
}

function compare(known: LiveTask, task: NewTask): Enqueued {
  const isSame = asksTheSame(known.payload, task.payload);
  return {
    status: known.state.status,
    outcome: isSame ? "exists" : "conflict",
    finished: isSame ? known.finished() : undefined,
  };
}

interface AdoptOptions {
  readonly live: LiveTasks;
  /** Finds a task in memory or, if it was read before, on disk. */
  readonly known: (id: string) => LiveTask | undefined;
  /** Called before a task is adopted, which may be on disk alone. */
  readonly bring?: (task: LiveTask) => void;
}

/** Goes on with runs, as `Engine.adopt` says. */
export function adoptRuns(
  { live, known, bring = () => {} }: AdoptOptions,
  request: AdoptRequest,
  now: number,
): (LeasedTask | undefined)[] {
  return request.runs.map((run) => {
    const task = known(run.id);
    // The limits hold for runs that were started elsewhere meanwhile.
    if (!task?.isNextRun(run) || live.gate.isFull(task)) return undefined;
    bring(task);
    return live.resume(task, run, request, now);
  });
}
