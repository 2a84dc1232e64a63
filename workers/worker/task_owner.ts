/** A task, as far as what runs in its name must know of it. */

import { mapForEach, NativeMap, uncurryThis } from "../primordials.ts";

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
