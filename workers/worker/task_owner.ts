/**
 * Which task the running code belongs to, also after an `await`, in a callback, and if it throws. Code that the task
 * files started while they loaded belongs to no task.
 *
 * The runtime carries a frame along with code: an object that holds a value for each `AsyncLocalStorage`. Putting the
 * owner directly into the frame takes some nanoseconds; an `AsyncLocalStorage` takes nearly a microsecond and makes
 * work for the garbage collector. The storage is used only if the runtime's frames do not work as expected.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import {
  mapForEach,
  NativeMap,
  preventDefault,
  uncurryGetter,
  uncurryThis,
} from "../primordials.ts";

/** A task, as the owner of running code and of what that code started. */
export class TaskOwner {
  /** The task has ended; its code that still runs is a leftover. */
  isOver = false;
  /** Timers and listeners that must not outlive the task, each with the function that removes it. */
  #traces: Map<unknown, (trace: unknown) => void> | undefined = undefined;

  constructor(readonly seq: number, readonly op: string, readonly id: string) {}

  /** Removes `trace` with `remove` when the task ends. Does nothing if the task has ended. */
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

interface OwnerContext {
  current(): TaskOwner | undefined;
  run<A, B, R>(owner: TaskOwner | undefined, callback: (a: A, b: B) => R, a: A, b: B): R;
}

const OWNER = Symbol("owner");
type Frame = { readonly [OWNER]?: TaskOwner } | undefined;

interface Insides {
  readonly core?: {
    readonly getAsyncContext?: () => Frame;
    readonly setAsyncContext?: (frame: Frame) => void;
  };
}

const context = frameContext() ?? storageContext();

/** The task whose code runs now. */
export const currentOwner = context.current;
/** Calls `callback` as code of `owner`. */
export const runAs = context.run;

/** `undefined` if frames do not work as expected. */
function frameContext(): OwnerContext | undefined {
  const deno = Deno as unknown as Record<PropertyKey, unknown>;
  const { core } = (deno[deno.internal as symbol] ?? {}) as Insides;
  const { getAsyncContext: get, setAsyncContext: set } = core ?? {};
  if (!get || !set) return undefined;
  const current = () => get()?.[OWNER];
  const run: OwnerContext["run"] = (owner, callback, a, b) => {
    const before = get();
    set(owner && { __proto__: null, [OWNER]: owner } as Frame);
    try {
      return callback(a, b);
    } finally {
      set(before);
    }
  };
  const storage = new AsyncLocalStorage<number>();
  const owner = {} as TaskOwner;
  const isKept = run(
    owner,
    () => storage.run(1, () => current() === owner && storage.getStore() === 1),
    undefined,
    undefined,
  );
  return isKept && current() === undefined ? { current, run } : undefined;
}

function storageContext(): OwnerContext {
  const owners = new AsyncLocalStorage<TaskOwner | undefined>();
  const getStore = uncurryThis(owners.getStore);
  const run = uncurryThis(owners.run) as <A, B, R>(
    storage: typeof owners,
    owner: TaskOwner | undefined,
    callback: (a: A, b: B) => R,
    a: A,
    b: B,
  ) => R;
  return {
    current: () => getStore(owners),
    run: (owner, callback, a, b) => run(owners, owner, callback, a, b),
  };
}

/** `owner` is undefined if the code belongs to no task, or the runtime does not say to which. */
type ErrorListener = (owner: TaskOwner | undefined, thrown: unknown) => void;

const errorOf = uncurryGetter(ErrorEvent.prototype, "error");
const reasonOf = uncurryGetter(PromiseRejectionEvent.prototype, "reason");

let listener: ErrorListener = (_owner, thrown) => {
  throw thrown;
};

/** Passes errors that no handler caught to `caught` from now on. Without it such an error ends the worker. */
export function catchErrors(caught: ErrorListener): void {
  listener = caught;
  globalThis.addEventListener("error", (event) => take(event, errorOf));
  globalThis.addEventListener("unhandledrejection", (event) => take(event, reasonOf));
}

/** A callback of `owner` has thrown. */
export function callbackThrew(owner: TaskOwner | undefined, thrown: unknown): void {
  listener(owner, thrown);
}

function take<E extends Event>(event: E, read: (event: E) => unknown): void {
  let thrown: unknown;
  try {
    thrown = read(event);
  } catch {
    // Task code made up this event: nothing was thrown.
    return;
  }
  preventDefault(event);
  listener(currentOwner(), thrown);
}
