/**
 * Whose the code is that runs: a task's, also after an `await` and in a callback, or nobody's, such as what
 * the task files have begun when they loaded.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { mapForEach, NativeMap, uncurryThis } from "./primordials.ts";

export class TaskOwner {
  /** The task has ended; what goes on is left over. */
  isOver = false;
  /** What must not outlive the task, and how it is ended. */
  #traces: Map<unknown, (trace: unknown) => void> | undefined = undefined;

  constructor(readonly seq: number, readonly op: string, readonly id: string) {}

  /** Ends `trace` by `remove` when the task ends. What begins after that is let be. */
  keep<T>(trace: T, remove: (trace: T) => void): void {
    if (this.isOver) return;
    this.#traces ??= new NativeMap();
    mapSet(this.#traces, trace, remove);
  }

  /** `trace` has ended by itself. */
  forget(trace: unknown): void {
    if (this.#traces) mapDelete(this.#traces, trace);
  }

  end(): void {
    this.isOver = true;
    if (!this.#traces) return;
    mapForEach(this.#traces, removeTrace);
    this.#traces = undefined;
  }
}

const mapSet = uncurryThis(Map.prototype.set) as (map: object, key: unknown, to: unknown) => void;
const mapDelete = uncurryThis(Map.prototype.delete) as (map: object, key: unknown) => void;

function removeTrace(remove: unknown, trace: unknown): void {
  (remove as (trace: unknown) => void)(trace);
}

const owners = new AsyncLocalStorage<TaskOwner | undefined>();
const getStore = uncurryThis(owners.getStore);
const run = uncurryThis(owners.run) as <A, B, R>(
  store: typeof owners,
  owner: TaskOwner | undefined,
  callback: (a: A, b: B) => R,
  a: A,
  b: B,
) => R;

/** Whose code runs now. */
export function currentOwner(): TaskOwner | undefined {
  return getStore(owners);
}

/** Calls `callback` as code of `owner`. */
export function runAs<A, B, R>(
  owner: TaskOwner | undefined,
  callback: (a: A, b: B) => R,
  a: A,
  b: B,
): R {
  return run(owners, owner, callback, a, b);
}
