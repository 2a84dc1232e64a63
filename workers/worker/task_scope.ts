/**
 * Keeps tasks of task files apart that run one after the other in one worker: whose code runs, what a task
 * leaves behind, what it has changed. Between two tasks the worker rests: everything that the first has
 * set going gets its turn before the second begins, so that a loop without end is not taken for another's.
 *
 * A rest costs some 20 µs. Quick tasks of one op share one: code that spoils things for its own op alone
 * could do so with a variable as well.
 */

import { TaskContext } from "../ops/context.ts";
import { errorOf, type Handler } from "../ops/handler.ts";
import { watchListeners } from "./left_listeners.ts";
import { watchTimers } from "./left_timers.ts";
import { microtask, newDictionary, now, slice } from "../primordials.ts";
import { guardRealm } from "../realm/realm_guard.ts";
import { Realm } from "../realm/realm_seal.ts";
import { catchErrors } from "./stray_errors.ts";
import { TaskError } from "../ops/task_error.ts";
import { currentOwner, runAs } from "./owner_context.ts";
import { TaskOwner } from "./task_owner.ts";
import type { LeasedTask } from "../ops/leased_run.ts";
import type { StopReason } from "../../protocol/work_message.ts";

/** Tasks of one op share a rest for so long. */
const SHARED_REST_MS = 1;
/** The thorough look at what tasks share takes up to a ms: after the first runs of an op, then so often. */
const WATCHED_RESTS = 16;
const THOROUGH_MS = 25;
const CURE =
  "import what adds to it at the top of the task file, which is loaded once for all tasks";
/** What is told of things left behind: so many lines in so long, each so long. */
const STRAY_LINES = 10;
const STRAY_MS = 1000;
const STRAY_CHARS = 1000;

export interface ScopeListener {
  /** Something of the task that runs has thrown where no handler catches it. */
  failed(thrown: unknown): void;
  /** Something that belongs to no task that runs has: for the operator. */
  strayed(text: string): void;
  /** A task has changed something that others share: for the operator, once. */
  changed(text: string): void;
}

/** What it needs to know of a worker. */
export interface ScopeOptions {
  /** The worker runs one task after the other, and not just one. */
  readonly isShared: boolean;
}

export class TaskScope {
  readonly #realm: Realm | undefined;
  readonly #timerClasses: readonly [path: string, prototype: object][];
  #listener: ScopeListener | undefined = undefined;
  #owner: TaskOwner | undefined = undefined;
  /** The op of the last task, while the worker has not rested since; and when it rested. */
  #lastOp: string | undefined = undefined;
  #restedAt = 0;
  #thoroughAt = 0;
  /** What the look that is under way has found added. */
  #additions = 0;
  #firstAddition = "";
  /** Of each op, after how many rests nothing was found changed. */
  readonly #rests = newDictionary<number>();
  /** What was told before anything listened. */
  readonly #early: string[] = [];
  #strays = 0;
  #straysSince = -STRAY_MS;

  /** Once, before any task file loads. */
  constructor({ isShared }: ScopeOptions) {
    guardRealm();
    this.#timerClasses = watchTimers();
    watchListeners();
    // From now on: what a file has begun as it loads may fail before it has loaded.
    catchErrors((owner, thrown) => this.#caught(owner, thrown));
    if (isShared) this.#realm = new Realm({ added: (path) => this.#added(path) });
  }

  /** Tells `listener` from now on. Once, when the task files have loaded. */
  open(listener: ScopeListener): void {
    this.#listener = listener;
    for (let i = 0; i < this.#early.length; i++) listener.strayed(this.#early[i]!);
    this.#realm?.keep([
      ["TaskContext", TaskContext],
      ["TaskContext.prototype", TaskContext.prototype],
      ["TaskError", TaskError],
      ["TaskError.prototype", TaskError.prototype],
      ...this.#timerClasses,
    ]);
  }

  /** Calls `handler` for a task, as its code. */
  run(
    handler: Handler,
    { args, op, id }: LeasedTask,
    { seq, context }: { seq: number; context: TaskContext },
  ): unknown {
    this.#owner = new TaskOwner(seq, op, id);
    return runAs(this.#owner, handler, args, context);
  }

  /** Asks the task that runs to stop; who listens for it does so as the task's code. */
  stop(context: TaskContext, reason: StopReason): void {
    runAs(this.#owner, TaskContext.stop, context, reason);
  }

  /** The task that runs has ended. */
  end(): void {
    if (!this.#owner) return;
    this.#owner.end();
    this.#lastOp = this.#owner.op;
    this.#owner = undefined;
  }

  /** Whether what runs now is code that another task than the one that runs has left behind. */
  get isAmongLeftOvers(): boolean {
    const owner = currentOwner();
    return owner !== undefined && owner !== this.#owner;
  }

  /** Whether a rest is due whatever comes next; `clock` is the time, in ms. */
  isDue(clock: number): boolean {
    return this.#lastOp !== undefined && clock - this.#restedAt >= SHARED_REST_MS;
  }

  /** Whether the worker shall rest before a task of `op`. */
  needsRest(op: string, clock: number): boolean {
    return this.#lastOp !== undefined && (this.#lastOp !== op || this.isDue(clock));
  }

  /** Call it in a turn of its own. False: the last tasks have left something that cannot be mended. */
  rest(clock: number): boolean {
    const op = this.#lastOp;
    if (op === undefined) return true;
    this.#restedAt = clock;
    this.#additions = 0;
    const spoilt = this.#look(op, clock);
    this.#lastOp = undefined;
    if (this.#additions > 0) {
      const more = this.#additions > 1 ? ` and ${this.#additions - 1} more` : "";
      this.#listener?.changed(
        `a task of ${op} has added ${this.#firstAddition}${more}, which stays for other tasks; ${CURE}`,
      );
    }
    if (spoilt === undefined) return true;
    this.#listener?.changed(
      `a task of ${op} has changed ${
        slice(spoilt, 0, STRAY_CHARS)
      }: its worker is replaced; ${CURE}`,
    );
    return false;
  }

  #look(op: string, clock: number): string | undefined {
    if (!this.#realm) return undefined;
    const rests = this.#rests[op] ?? 0;
    if (rests < WATCHED_RESTS) this.#rests[op] = rests + 1;
    const isThorough = rests < WATCHED_RESTS || clock - this.#thoroughAt >= THOROUGH_MS;
    if (isThorough) this.#thoroughAt = clock;
    return this.#realm.look(isThorough);
  }

  #added(path: string): void {
    if (++this.#additions === 1) this.#firstAddition = slice(path, 0, STRAY_CHARS);
  }

  #caught(owner: TaskOwner | undefined, thrown: unknown): void {
    if (!owner || owner.isOver) return this.#strayed(owner, thrown);
    // In a turn of its own, since code of the task may be what is running now; and as nobody's.
    runAs(undefined, microtask, () => {
      if (owner.isOver) this.#strayed(owner, thrown);
      else this.#listener?.failed(thrown);
    }, undefined);
  }

  #strayed(owner: TaskOwner | undefined, thrown: unknown): void {
    const { message } = errorOf(thrown).error;
    const what = owner
      ? `something that the task ${owner.id} (${owner.op}) has left behind`
      : "something that belongs to no task";
    const clock = now();
    if (clock - this.#straysSince >= STRAY_MS) {
      this.#straysSince = clock;
      this.#strays = 0;
    }
    if (++this.#strays > STRAY_LINES) return;
    const rest = this.#strays === STRAY_LINES ? "; no more is told for a second" : "";
    const text = `${what} failed: ${slice(message, 0, STRAY_CHARS)}${rest}`;
    if (this.#listener) this.#listener.strayed(text);
    else this.#early[this.#early.length] = text;
  }
}
