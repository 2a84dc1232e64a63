/**
 * Tasks that come after others. Each waits until all of its parents have completed, and then gets their results. If a
 * parent ends in another way, the task is cancelled, and so are the tasks that come after it.
 */

import { MAX_AFTER_CHARS } from "../../../protocol/limits.ts";
import { isFinal, type Status } from "../../../protocol/task.ts";
import type { TaskEvent } from "../../task/transition.ts";
import type { LiveTask } from "./live_task.ts";

/** The present state of a task that another comes after. */
export interface Parent {
  readonly serial: number;
  readonly status: Status;
  /** In JSON; only for a completed task. */
  readonly result: string | undefined;
}

/** The effects of dependencies on a task. */
interface KinActions {
  /** Keeps it out of the queue for now. */
  hold(task: LiveTask): void;
  end(task: LiveTask, event: TaskEvent, now: number): void;
  /** It waits only for its time from now on. */
  free(task: LiveTask, now: number): void;
}

export class Dependencies {
  /** All tasks that come after others and are not final. */
  readonly children = new Set<LiveTask>();
  /** Changes with each change of `children`. */
  version = 0;
  readonly #actions: KinActions;
  /** By the id of a parent: the tasks that wait for it. */
  readonly #waiting = new Map<string, Set<LiveTask>>();
  /** Tasks that have ended, and whose children do not know it yet. */
  readonly #ended: LiveTask[] = [];
  #isUpdating = false;

  constructor(actions: KinActions) {
    this.#actions = actions;
  }

  /** Makes the task wait for its open `parents`, or ends it if one of them failed. */
  add(task: LiveTask, parents: readonly Parent[], now: number): void {
    const { after } = task.task;
    if (after.length === 0) return;
    this.children.add(task);
    this.version++;
    task.parents = parents.map(({ serial }) => serial);
    task.gathered = new Map();
    task.unmet = 0;
    for (let i = 0; i < after.length; i++) {
      const { status, result } = parents[i] as Parent;
      const id = after[i] as string;
      if (status === "completed") {
        task.gathered.set(id, result ?? "null");
      } else if (isFinal(status)) {
        return this.#endFor(id, task, now);
      } else {
        task.unmet++;
        this.#wait(id, task);
      }
    }
    if (task.unmet > 0) this.#actions.hold(task);
    else this.#checkGathered(task, now);
  }

  /** Ends the waits of the task. */
  remove(task: LiveTask): void {
    if (!this.children.delete(task)) return;
    this.version++;
    for (const parentId of task.task.after) {
      const children = this.#waiting.get(parentId);
      if (children?.delete(task) && children.size === 0) this.#waiting.delete(parentId);
    }
    task.gathered = undefined;
    task.unmet = 0;
  }

  /** Updates the tasks that wait for `task`, which is final now. */
  ended(task: LiveTask, now: number): void {
    if (this.#waiting.size === 0) return;
    this.#ended.push(task);
    // A loop, since a chain of tasks can be longer than the stack is deep.
    if (this.#isUpdating) return;
    this.#isUpdating = true;
    for (let next = this.#ended.pop(); next; next = this.#ended.pop()) {
      this.#updateChildren(next, now);
    }
    this.#isUpdating = false;
  }

  /** The serial numbers of all tasks that open ones come after. */
  parentSerials(): number[] {
    const serials = new Set<number>();
    for (const { parents = [] } of this.children) for (const serial of parents) serials.add(serial);
    return [...serials];
  }

  /** The parents that `task` still waits for. */
  unmetOf(task: LiveTask): string[] {
    return task.task.after.filter((id) => this.#waiting.get(id)?.has(task));
  }

  #wait(parentId: string, task: LiveTask): void {
    const children = this.#waiting.get(parentId);
    if (children) children.add(task);
    else this.#waiting.set(parentId, new Set([task]));
  }

  #updateChildren(parent: LiveTask, now: number): void {
    const children = this.#waiting.get(parent.id);
    if (!children) return;
    this.#waiting.delete(parent.id);
    for (const child of children) {
      if (parent.state.status !== "completed") {
        this.#endFor(parent.id, child, now);
        continue;
      }
      child.gathered?.set(parent.id, parent.result ?? "null");
      if (--child.unmet > 0 || this.#checkGathered(child, now)) continue;
      this.#actions.free(child, now);
    }
  }

  /** The task is cancelled, since its parent did not complete. */
  #endFor(parentId: string, task: LiveTask, now: number): void {
    task.cancelledFor = parentId;
    this.#actions.end(task, { type: "cancel" }, now);
  }

  /** Fails a task if the results of its parents are too large for its handler; true if it did. */
  #checkGathered(task: LiveTask, now: number): boolean {
    let chars = 0;
    for (const result of task.gathered?.values() ?? []) chars += result.length;
    if (chars <= MAX_AFTER_CHARS) return false;
    task.error = {
      code: "bad_result",
      message:
        `the results of the tasks it comes after have ${chars} characters together; at most ` +
        `${MAX_AFTER_CHARS} can be handed on`,
    };
    this.#actions.end(task, { type: "refuse" }, now);
    return true;
  }
}
