/**
 * Keeps tasks of task files apart that run one after another in one worker: which task the running code belongs to,
 * what a task leaves behind, and what it has changed. Between two tasks the worker rests: all code that the first one
 * started gets a turn before the second begins, so that an endless loop is not taken for the second one's.
 *
 * A rest takes about 20 µs. Quick tasks of one op share a rest: code that harms only its own op could do the same
 * with a variable. This is hygiene between tasks and no security boundary; permissions and processes are. `TaskLoop`
 * calls it for each run.
 */

import { TaskContext } from "../ops/context.ts";
import { errorOf, type Handler, TaskError } from "../ops/handler.ts";
import { watchListeners, watchTimers } from "./leftovers.ts";
import { microtask, newDictionary, now, slice } from "../primordials.ts";
import { guardRealm } from "../realm/realm_guard.ts";
import { Realm } from "../realm/realm_seal.ts";
import { catchErrors, currentOwner, runAs, TaskOwner } from "./task_owner.ts";
import type { LeasedRun } from "../ops/leased_run.ts";
import type { StopReason } from "../../protocol/work_message.ts";

/** Longest time between two rests while tasks of one op run, in ms. */
const SHARED_REST_MS = 1;
/** Number of rests of an op with a thorough look, which takes up to a ms; and the time between further ones, in ms. */
const WATCHED_RESTS = 16;
const THOROUGH_MS = 25;
const CURE =
  "import what adds to it at the top of the task file, which is loaded once for all tasks";
/** Limits for lines about errors of leftover code: lines, period, length. */
const STRAY_LINES = 10;
const STRAY_MS = 1000;
const STRAY_CHARS = 1000;

interface ScopeListener {
  /** Code of the running task has thrown outside its handler. */
  failed(thrown: unknown): void;
  /** Code that belongs to no running task has thrown: for the operator. */
  strayed(text: string): void;
  /** A task has changed something that other tasks share: for the operator, once. */
  changed(text: string): void;
}

/** The worker, as far as the scope needs it. */
interface ScopeOptions {
  /** The worker runs many tasks, and not just one. */
  readonly isShared: boolean;
}

export class TaskScope {
  readonly #realm: Realm | undefined;
  readonly #timerClasses: readonly [path: string, prototype: object][];
  #listener: ScopeListener | undefined = undefined;
  #owner: TaskOwner | undefined = undefined;
  /** The op of the last task, until the worker rests; and the time of the last rest. */
  #lastOp: string | undefined = undefined;
  #restedAt = 0;
  #thoroughAt = 0;
  /** Number of additions that the look under way has found. */
  #additions = 0;
  #firstAddition = "";
  /** By op: number of rests so far, up to `WATCHED_RESTS`. */
  readonly #rests = newDictionary<number>();
  /** Lines from before there was a listener. */
  readonly #early: string[] = [];
  #strays = 0;
  #straysSince = -STRAY_MS;

  /** Make it once, before any task file loads. */
  constructor({ isShared }: ScopeOptions) {
    guardRealm();
    this.#timerClasses = watchTimers();
    watchListeners();
    // From now on: code that a file starts can fail while the file still loads.
    catchErrors((owner, thrown) => this.#caught(owner, thrown));
    if (isShared) this.#realm = new Realm({ added: (path) => this.#added(path) });
  }

  /** Reports to `listener` from now on. Call it once, when the task files have loaded. */
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

  /** Calls `handler` as code of its task. */
  run(
    handler: Handler,
    { args, op, id }: LeasedRun,
    { seq, context }: { seq: number; context: TaskContext },
  ): unknown {
    this.#owner = new TaskOwner(seq, op, id);
    return runAs(this.#owner, handler, args, context);
  }

  /** Asks the running task to stop; its listeners run as code of the task. */
  stop(context: TaskContext, reason: StopReason): void {
    runAs(this.#owner, TaskContext.stop, context, reason);
  }

  /** The running task has ended. */
  end(): void {
    if (!this.#owner) return;
    this.#owner.end();
    this.#lastOp = this.#owner.op;
    this.#owner = undefined;
  }

  /** Whether the code that runs now was left behind by an earlier task. */
  get isAmongLeftOvers(): boolean {
    const owner = currentOwner();
    return owner !== undefined && owner !== this.#owner;
  }

  /** Whether a rest is due before any next task; `clock` is the time, in ms. */
  isDue(clock: number): boolean {
    return this.#lastOp !== undefined && clock - this.#restedAt >= SHARED_REST_MS;
  }

  /** Whether the worker must rest before a task of `op`. */
  needsRest(op: string, clock: number): boolean {
    return this.#lastOp !== undefined && (this.#lastOp !== op || this.isDue(clock));
  }

  /** Call it in a turn of its own. False: the last tasks made a change that cannot be undone. */
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
    // In a turn of its own and as code of no task, since code of the task can be running now.
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
    const rest = this.#strays === STRAY_LINES ? "; no more is logged for a second" : "";
    const text = `${what} failed: ${slice(message, 0, STRAY_CHARS)}${rest}`;
    if (this.#listener) this.#listener.strayed(text);
    else this.#early[this.#early.length] = text;
  }
}
