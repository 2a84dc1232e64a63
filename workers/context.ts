/**
 * What a handler learns of its task beside the arguments, and what it may say while it runs. Made for
 * every task, so nothing in it is made before it is asked for.
 */

import { quote } from "../protocol/errors.ts";
import { MAX_PROGRESS_NOTE_CHARS } from "../protocol/limits.ts";
import { stopMessage } from "./stop_message.ts";
import type { StopReason } from "../protocol/work_message.ts";
import type { LeasedTask } from "./leased_task.ts";
import {
  abort,
  AbortSource,
  NativeException,
  NativeTypeError,
  parse,
  signalOf,
  slice,
  toText,
} from "./primordials.ts";

/** What the context needs of the worker's loop. Nothing happens for a task that has ended. */
export interface TaskHost {
  isCancelled(seq: number): boolean;
  progress(seq: number, fraction: number): void;
  note(seq: number, note: string): void;
  log(seq: number, values: readonly unknown[]): void;
}

export class TaskContext {
  readonly #host: TaskHost;
  readonly #task: LeasedTask;
  readonly #seq: number;
  #abort: AbortController | undefined = undefined;
  #after: Record<string, unknown> | undefined = undefined;

  constructor(host: TaskHost, task: LeasedTask, seq: number) {
    this.#host = host;
    this.#task = task;
    this.#seq = seq;
  }

  get id(): string {
    return this.#task.id;
  }

  /** Counted from 1. */
  get attempt(): number {
    return this.#task.attempt;
  }

  /** The results of the tasks that this one came after, by their ids; `{}` where it came after none. */
  get after(): Record<string, unknown> {
    const { after } = this.#task;
    this.#after ??= after === undefined ? {} : parse(after) as Record<string, unknown>;
    return this.#after;
  }

  /** Whether the task shall stop; true at once, also in a loop that never yields. */
  get cancelled(): boolean {
    return this.#host.isCancelled(this.#seq);
  }

  /** Aborts when the task shall stop: it was cancelled, or it reached its time limit. */
  get signal(): AbortSignal {
    if (!this.#abort) {
      this.#abort = new AbortSource();
      if (this.#host.isCancelled(this.#seq)) abort(this.#abort, stopError("cancel", this.#task));
    }
    return signalOf(this.#abort);
  }

  /**
   * Says how far the task is: `fraction` is 0…1, what lies outside is taken as the nearer end; `note`
   * is cut at 1024 characters. May be called as often as is convenient.
   */
  progress(fraction: number, note?: string): void {
    if (typeof fraction !== "number" || fraction !== fraction) {
      throw new NativeTypeError(
        `progress needs a fraction from 0 to 1; got ${quote(toText(fraction))}`,
      );
    }
    this.#host.progress(this.#seq, fraction < 0 ? 0 : fraction > 1 ? 1 : fraction);
    if (note !== undefined) {
      this.#host.note(this.#seq, slice(toText(note), 0, MAX_PROGRESS_NOTE_CHARS));
    }
  }

  /** Puts `values` into the task's log, as `console.log` would print them. Never throws. */
  log(...values: unknown[]): void {
    this.#host.log(this.#seq, values);
  }

  /** Aborts the signal of `context`, where anything asked for one. Called by the worker's loop. */
  static stop(context: TaskContext, reason: StopReason): void {
    if (context.#abort) abort(context.#abort, stopError(reason, context.#task));
  }
}

function stopError(reason: StopReason, task: LeasedTask): DOMException {
  return new NativeException(
    stopMessage(reason, task.timeout),
    reason === "timeout" ? "TimeoutError" : "AbortError",
  );
}
