/**
 * Removes what a task leaves behind when it ends: timers, and listeners on what all tasks of its worker share, the
 * global object and `process`. Errors of a timer's callback are reported as errors of its task. `TaskScope` sets both
 * up, once, before any task file loads.
 *
 * All of `node:timers` goes through two classes, however it was imported, and so do the global functions; older
 * runtimes have separate global functions.
 */

import { apply, defineProperty, getPrototypeOf, ownKeys, uncurryThis } from "../primordials.ts";
import { callbackThrew, currentOwner, type TaskOwner } from "./task_owner.ts";

type Callback = (...args: unknown[]) => unknown;
type Method = (this: object, ...args: unknown[]) => unknown;

/** Gives timers to their tasks. Returns the prototypes that code reaches through timers. */
export function watchTimers(): [path: string, prototype: object][] {
  const node = process.getBuiltinModule("node:timers");
  const timeout = node.setTimeout(() => {}, 0);
  node.clearTimeout(timeout);
  const immediate = node.setImmediate(() => {});
  node.clearImmediate(immediate);
  const timeouts = getPrototypeOf(timeout), immediates = getPrototypeOf(immediate);
  watchClass(timeouts, {
    starts: methodNamed(timeouts, "createTimer"),
    ends: methodNamed(timeouts, "destroy"),
    callback: "_onTimeout",
    clear: node.clearTimeout as (timer: object) => void,
  });
  watchClass(immediates, {
    starts: "ref",
    ends: undefined,
    callback: "_onImmediate",
    clear: node.clearImmediate as (timer: object) => void,
  });
  if ((globalThis.setTimeout as unknown) !== node.setTimeout) watchWebTimers();
  return [["Timeout.prototype", timeouts], ["Immediate.prototype", immediates]];
}

function methodNamed(prototype: object, name: string): PropertyKey | undefined {
  return ownKeys(prototype).find((key) => typeof key === "symbol" && key.description === name);
}

/** The inner names of a class of timers. Its constructor calls the method `starts`. */
interface TimerClass {
  readonly starts: PropertyKey | undefined;
  readonly ends: PropertyKey | undefined;
  readonly callback: string;
  readonly clear: (timer: object) => void;
}

interface Watched {
  owner: TaskOwner;
}

function watchClass(prototype: object, { starts, ends, callback, clear }: TimerClass): void {
  const watched = new WeakMap<object, Watched>();
  const watchedOf = uncurryThis(watched.get).bind(undefined, watched);
  const setWatched = uncurryThis(watched.set).bind(undefined, watched);
  wrap(prototype, starts, (timer) => {
    const owner = currentOwner();
    if (!owner) return;
    const known = watchedOf(timer);
    if (known) known.owner = owner;
    else {
      const watch = { owner };
      setWatched(timer, watch);
      const properties = timer as Record<string, Callback>;
      properties[callback] = guarded(properties[callback]!, { timer, watch });
    }
    owner.keep(timer, clear);
  });
  wrap(prototype, ends, (timer) => watchedOf(timer)?.owner.forget(timer));
}

/** Calls `before` with the object on which `method` is called. */
function wrap(
  prototype: object,
  method: PropertyKey | undefined,
  before: (timer: object) => void,
): void {
  if (method === undefined) return;
  const original = (prototype as Record<PropertyKey, Method>)[method]!;
  defineProperty(prototype, method, {
    value(this: object, ...args: unknown[]) {
      before(this);
      return apply(original, this, args);
    },
  });
}

/** `callback`, with its errors passed to its owner. A timer that has run is forgotten, unless it repeats. */
function guarded(
  callback: Callback,
  { timer, watch }: { timer: object; watch: Watched },
): Callback {
  return function (this: unknown, ...args) {
    const { _repeat, _isRepeat } = timer as { _repeat?: unknown; _isRepeat?: unknown };
    if (!_repeat && !_isRepeat) watch.owner.forget(timer);
    try {
      return apply(callback, this, args);
    } catch (error) {
      callbackThrew(watch.owner, error);
    }
  };
}

type Start = (callback: Callback, ms?: number, ...args: unknown[]) => number;
type Clear = (id?: number) => void;

function watchWebTimers(): void {
  const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis as unknown as {
    setTimeout: Start;
    setInterval: Start;
    clearTimeout: Clear;
    clearInterval: Clear;
  };
  replace("setTimeout", starting(setTimeout, { clear: clearTimeout, repeats: false }));
  replace("setInterval", starting(setInterval, { clear: clearInterval, repeats: true }));
  replace("clearTimeout", clearing(clearTimeout));
  replace("clearInterval", clearing(clearInterval));
}

function starting(start: Start, { clear, repeats }: { clear: Clear; repeats: boolean }): Start {
  return (callback, ms, ...args) => {
    const owner = currentOwner();
    if (!owner || typeof callback !== "function") return start(callback, ms, ...args);
    const id = start(
      (...given) => {
        if (!repeats) owner.forget(id);
        try {
          apply(callback, globalThis, given);
        } catch (error) {
          callbackThrew(owner, error);
        }
      },
      ms,
      ...args,
    );
    owner.keep(id, clear);
    return id;
  };
}

function clearing(clear: Clear): Clear {
  return (id) => {
    currentOwner()?.forget(id);
    clear(id);
  };
}

function replace(name: string, value: Start | Clear): void {
  defineProperty(value, "name", { value: name });
  defineProperty(globalThis, name, { value });
}

type Listen = (this: unknown, type: string, listener: never, ...more: never[]) => unknown;
type AddListener = typeof globalThis.addEventListener;

/** Gives listeners on the global object and on `process` to their tasks. */
export function watchListeners(): void {
  watchGlobal();
  watchProcess();
}

function watchGlobal(): void {
  const { addEventListener, removeEventListener } = EventTarget.prototype;
  defineProperty(EventTarget.prototype, "addEventListener", {
    value: function (this: unknown, ...args: Parameters<AddListener>) {
      const isGlobal = this === undefined || this === null || this === globalThis;
      const owner = isGlobal ? currentOwner() : undefined;
      if (owner) owner.keep(args, (added) => apply(removeEventListener, globalThis, added));
      return apply(addEventListener, this, args);
    },
  });
  defineProperty(EventTarget.prototype.addEventListener, "name", { value: "addEventListener" });
}

function watchProcess(): void {
  const { removeListener } = process;
  for (const name of ["on", "addListener", "prependListener"] as const) {
    const add = process[name] as Listen;
    defineProperty(process, name, {
      value: function (this: unknown, ...args: Parameters<Listen>) {
        currentOwner()?.keep(args, ([type, listener]) => {
          apply(removeListener, process, [type, listener]);
        });
        return apply(add, this, args);
      },
      writable: true,
      configurable: true,
    });
  }
}
