/**
 * Whose the code is that runs: a task's, also after an `await` and in a callback, or nobody's, such as what
 * the task files have begun when they loaded.
 *
 * The runtime carries a frame along with code, an object with what each `AsyncLocalStorage` has put there.
 * To put the owner there at first hand takes some nanoseconds; by a storage of our own it takes a good part
 * of a microsecond, and work for the garbage collector. That is the way where the runtime is another.
 */

import { AsyncLocalStorage } from "node:async_hooks";
import { uncurryThis } from "../primordials.ts";
import type { TaskOwner } from "./task_owner.ts";

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

/** Whose code runs now. */
export const currentOwner = context.current;
/** Calls `callback` as code of `owner`. */
export const runAs = context.run;

/** `undefined` where frames are not what they are taken for. */
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
