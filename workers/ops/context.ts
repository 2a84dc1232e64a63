/**
 * What a handler learns of its task beside the arguments, and what it may say while it runs. Made for
 * every task, so nothing in it is made before it is asked for.
 */

import { quote } from "../../protocol/errors.ts";
import { MAX_PROGRESS_NOTE_CHARS } from "../../protocol/limits.ts";
import { stopMessage } from "./stop_message.ts";
import type { StopReason } from "../../protocol/work_message.ts";
import type { LeasedTask } from "./leased_run.ts";
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

/** What the context needs of the worker's loop. Nothing happens for a task that has ended. */
export interface TaskHost {
  isCancelled(seq: number): boolean;
  progress(seq: number, fraction: number): void;
  note(seq: number, note: string): void;
  log(seq: number, values: readonly unknown[]): void;
}

type Progress = (fraction: number, note?: string) => void;
type Log = (...values: unknown[]) => void;

/** Whether `value` is one, and not something that inherits from one or stands in for it. */
let isContext: (value: unknown) => boolean;

export class TaskContext {
  readonly #host: TaskHost;
  readonly #task: LeasedTask;
  readonly #seq: number;
  #abort: AbortController | undefined = undefined;
  #after: Record<string, unknown> | undefined = undefined;
  #progress: Progress | undefined = undefined;
  #log: Log | undefined = undefined;

  constructor(host: TaskHost, task: LeasedTask, seq: number) {
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

  /** The results of the tasks that this one came after, by their ids; `{}` where it came after none. */
  get after(): Record<string, unknown> {
    const { after } = own(this, "after").#task;
    this.#after ??= after === undefined ? {} : parse(after) as Record<string, unknown>;
    return this.#after;
  }

  /** Whether the task shall stop; true at once, also in a loop that never yields. */
  get cancelled(): boolean {
    return own(this, "cancelled").#host.isCancelled(this.#seq);
  }

  /** Aborts when the task shall stop: it was cancelled, or it reached its time limit. */
  get signal(): AbortSignal {
    if (!own(this, "signal").#abort) {
      this.#abort = new AbortSource();
      if (this.#host.isCancelled(this.#seq)) abort(this.#abort, stopError("cancel", this.#task));
    }
    return signalOf(this.#abort!);
  }

  /**
   * Says how far the task is: `fraction` is 0…1, what lies outside is taken as the nearer end; `note`
   * is cut at 1024 characters. May be called as often as is convenient, and handed on.
   */
  get progress(): Progress {
    return own(this, "progress").#progress ??= (fraction, note) => this.#tell(fraction, note);
  }

  /** Puts `values` into the task's log, as `console.log` would print them. Never throws; may be handed on. */
  get log(): Log {
    return own(this, "log").#log ??= (...values) => this.#host.log(this.#seq, values);
  }

  #tell(fraction: number, note: string | undefined): void {
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

  /** Aborts the signal of `context`, where anything asked for one. Called by the worker's loop. */
  static stop(context: TaskContext, reason: StopReason): void {
    if (context.#abort) abort(context.#abort, stopError(reason, context.#task));
  }
}

/** `context`, which a getter was called on. */
function own(context: TaskContext, name: string): TaskContext {
  if (isContext(context)) return context;
  throw new NativeTypeError(
    `${name} was read from an object that is made of the task's context; read it from the context ` +
      `itself: { ${name}: ctx.${name} }`,
  );
}

function stopError(reason: StopReason, task: LeasedTask): DOMException {
  return new NativeException(
    stopMessage(reason, task.timeout),
    reason === "timeout" ? "TimeoutError" : "AbortError",
  );
}
