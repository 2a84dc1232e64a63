/**
 * The context of a task, the second argument of its handler: facts about the task, and methods to report progress and
 * to log. One is made for every task, so its parts are made only when the handler asks for them.
 */

import { quote } from "../../protocol/errors.ts";
import { MAX_PROGRESS_NOTE_CHARS } from "../../protocol/limits.ts";
import type { StopReason } from "../../protocol/work_message.ts";
import {
  abort,
  AbortSource,
  NativeException,
  NativeTypeError,
  parse,
  signalOf,
  slice,
  toText,
} from "../primordials.ts";
import type { LeasedRun } from "./leased_run.ts";

/** The worker's loop, as far as the context needs it. Calls for an ended task have no effect. */
export interface TaskHost {
  isCancelled(seq: number): boolean;
  progress(seq: number, fraction: number): void;
  note(seq: number, note: string): void;
  log(seq: number, values: readonly unknown[]): void;
}

type Progress = (fraction: number, note?: string) => void;
type Log = (...values: unknown[]) => void;

/** Whether `value` is a context itself, and no object that inherits from one or wraps it. */
let isContext: (value: unknown) => boolean;

export class TaskContext {
  readonly #host: TaskHost;
  readonly #task: LeasedRun;
  readonly #seq: number;
  #abort: AbortController | undefined = undefined;
  #after: Record<string, unknown> | undefined = undefined;
  #progress: Progress | undefined = undefined;
  #log: Log | undefined = undefined;

  constructor(host: TaskHost, task: LeasedRun, seq: number) {
    this.#host = host;
    this.#task = task;
    this.#seq = seq;
  }

  get id(): string {
    return own(this, "id").#task.id;
  }

  /** Counted from 1. */
  get attempt(): number {
    return own(this, "attempt").#task.attempt;
  }

  /** The results of the tasks that this one came after, by their ids; `{}` if it came after none. */
  get after(): Record<string, unknown> {
    const { after } = own(this, "after").#task;
    this.#after ??= after === undefined ? {} : parse(after) as Record<string, unknown>;
    return this.#after;
  }

  /** Whether the task must stop; true at once, also in a loop that never yields. */
  get cancelled(): boolean {
    return own(this, "cancelled").#host.isCancelled(this.#seq);
  }

  /** Aborts when the task must stop: it was cancelled, or it reached its time limit. */
  get signal(): AbortSignal {
    if (!own(this, "signal").#abort) {
      this.#abort = new AbortSource();
      if (this.#host.isCancelled(this.#seq)) abort(this.#abort, stopError("cancel", this.#task));
    }
    return signalOf(this.#abort!);
  }

  /**
   * Reports the progress of the task. `fraction` is 0…1; a number outside is taken as the nearer end. `note` is cut at
   * 1024 characters. The function can be called as often as needed, and passed to other code.
   */
  get progress(): Progress {
    return own(this, "progress").#progress ??= (fraction, note) => this.#report(fraction, note);
  }

  /** Adds `values` to the task's log, as `console.log` would print them. Never throws; can be passed to other code. */
  get log(): Log {
    return own(this, "log").#log ??= (...values) => this.#host.log(this.#seq, values);
  }

  #report(fraction: number, note: string | undefined): void {
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

  static {
    isContext = (value) => typeof value === "object" && value !== null && #task in value;
  }

  /** Aborts the signal of `context`, if the handler has read it. Called by the worker's loop. */
  static stop(context: TaskContext, reason: StopReason): void {
    if (context.#abort) abort(context.#abort, stopError(reason, context.#task));
  }
}

/** `context`, on which a getter was called. Throws if it is no context. */
function own(context: TaskContext, name: string): TaskContext {
  if (isContext(context)) return context;
  throw new NativeTypeError(
    `${name} was read from an object that is made of the task's context; read it from the context ` +
      `itself: { ${name}: ctx.${name} }`,
  );
}

function stopError(reason: StopReason, task: LeasedRun): DOMException {
  return new NativeException(
    stopMessage(reason, task.timeout),
    reason === "timeout" ? "TimeoutError" : "AbortError",
  );
}

/** Why a task was stopped, in words: the same for the handler's signal and for the report. */
export function stopMessage(reason: StopReason, timeoutMs: number): string {
  switch (reason) {
    case "timeout":
      return `stopped after ${timeoutMs} ms, its limit`;
    case "cancel":
      return "stopped: the task was cancelled";
    case "memory":
      return "stopped: it took more memory than a worker's share (--max-memory)";
    case "lost":
      return "stopped: the server gave the task to another worker";
  }
}
