/**
 * Keeps the built-in objects the same for every task of a worker, without freezing them. A task may change anything, as
 * in any program, and packages find everything as usual. Between two tasks, the worker looks for changes:
 *
 *     restored   settings: `Error.stackTraceLimit`, `Error.prepareStackTrace`, `onerror`, members of `console`,
 *                `process`, `crypto` and the like. An added global that holds no object is removed
 *     stays      additions: a global that holds an object, or a hidden member of a built-in object. A package that a
 *                handler has imported can need it, and is imported only once
 *     spoils     any other change, and any removal: the worker is replaced
 *
 * This is hygiene and no security boundary: hostile code can get around it. Exports of modules are not covered.
 * `TaskScope` owns it.
 */

import { findIntrinsics, type Intrinsics, intrinsicsOf, isSeldom } from "./intrinsics.ts";
import { type Addition, Likeness, PropertySnapshot } from "./property_snapshot.ts";
import {
  apply,
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  hasOwn,
  microtask,
  NativeTypeError,
  ownKeys,
  setAdd,
  setHas,
} from "../primordials.ts";

/** Objects that nearly all code uses: compared after each task, the others less often. */
const CORE =
  /^(Object|Function|Array|String|Number|Boolean|Symbol|BigInt|Math|JSON|Reflect|Promise|Map|Set|WeakMap|WeakSet|RegExp|Date|Iterator|\w*Error|the prototype of .*Iterator)(\.prototype)?$/;
const NO_MESSAGES = "a task gets no messages; its input are its arguments";
/** Members of `Error` that are settings, and are restored. */
const SETTING_NAMES: readonly PropertyKey[] = ["prepareStackTrace", "stackTraceLimit"];
const SETTINGS: ReadonlySet<PropertyKey> = new Set(SETTING_NAMES);
const IS_PROTOTYPE = /\.prototype$|^the prototype of /;

/** A built-in object, and the path by which code reaches it. */
interface Found {
  readonly object: object;
  readonly path: string;
  readonly isCore: boolean;
}

interface Watched {
  readonly path: string;
  readonly likeness: Likeness;
}

interface RealmListener {
  /** Something was added, and stays. */
  added(path: string): void;
}

export class Realm {
  readonly #listener: RealmListener;
  readonly #builtIn: ReadonlySet<PropertyKey>;
  readonly #instances: readonly object[];
  /** Collected before any task file loads: task code can change the functions that this needs. */
  readonly #found: Found[];
  readonly #handlers: Handlers;
  readonly #known = new Set<object>();
  readonly #core: Watched[] = [];
  readonly #rest: Watched[] = [];
  #snapshots: PropertySnapshot[] = [];
  #isKept = false;

  /** Finds the built-in objects. Call it after `guardRealm`, and before any task file loads. */
  constructor(listener: RealmListener) {
    this.#listener = listener;
    const handlers = ownKeys(globalThis).filter((name) =>
      /^on/.test(String(name)) && getOwnPropertyDescriptor(globalThis, name)?.set
    );
    this.#handlers = new Handlers(handlers as string[]);
    const globals = ownKeys(globalThis);
    const intrinsics = findIntrinsics(globals);
    this.#builtIn = new Set(globals);
    this.#instances = [...intrinsics.instances];
    this.#found = foundIn(intrinsics, this.#known);
    for (const object of intrinsics.prototypes) letTagsBeOwn(object);
    for (const name of globals) {
      if (isSeldom(name) && !/^on/.test(name as string)) this.#keepWhenMade(name as string);
    }
  }

  /** Remembers the state of all objects, and of `ours`. Call it after the task files have loaded: these may add to it. */
  keep(ours: readonly [path: string, object: object][]): void {
    // The first call of `queueMicrotask` replaces it for a moment: that must happen before the snapshot.
    microtask(() => {});
    this.#keepAll(this.#found.splice(0));
    this.#isKept = true;
    this.#handlers.keep();
    for (let i = 0; i < ours.length; i++) {
      const { 0: path, 1: object } = ours[i]!;
      this.#keep({ object, path, isCore: true });
    }
    const globals = globalLikeness(this.#builtIn, this.#listener);
    this.#core[this.#core.length] = { path: "globalThis", likeness: globals };
    this.#snapshots = [
      // Plain values, such as the title and the exit code, may change.
      new PropertySnapshot(
        process,
        ({ value, get }) => typeof value === "function" || get !== undefined,
      ),
      new PropertySnapshot(console, () => true),
      new PropertySnapshot(Error, () => true, SETTING_NAMES),
    ];
    for (let i = 0; i < this.#instances.length; i++) {
      this.#snapshots[this.#snapshots.length] = new PropertySnapshot(
        this.#instances[i]!,
        () => true,
      );
    }
  }

  /**
   * Restores settings, and returns the first change that spoils the worker, like `Array.prototype.push`. A thorough look
   * takes up to a ms, another one about 50 µs.
   */
  look(isThorough: boolean): string | undefined {
    this.#handlers.restore();
    for (let i = 0; i < this.#snapshots.length; i++) {
      if (!this.#snapshots[i]!.restore()) return "something that cannot be put back";
    }
    return differenceIn(this.#core, isThorough) ??
      (isThorough ? differenceIn(this.#rest, isThorough) : undefined);
  }

  #keepAll(found: readonly Found[]): void {
    for (let i = 0; i < found.length; i++) this.#keep(found[i]!);
  }

  #keep({ object, path, isCore }: Found): void {
    const isPrototype = IS_PROTOTYPE.test(path);
    const added = (name: PropertyKey, { enumerable }: PropertyDescriptor): Addition => {
      if (object === Error && setHas(SETTINGS, name)) return "removed";
      // Every `for … in` over an object that inherits from it would show the addition.
      if (isPrototype && enumerable) return "spoils";
      this.#listener.added(`${path}.${String(name)}`);
      return "stays";
    };
    const free = object === Error ? { free: SETTINGS } : {};
    const list = isCore ? this.#core : this.#rest;
    list[list.length] = { path, likeness: new Likeness(object, { ...free, added }) };
  }

  /** A global that few tasks use is made, and kept, at its first use. */
  #keepWhenMade(name: string): void {
    const { get, set, enumerable = false, configurable } =
      getOwnPropertyDescriptor(globalThis, name) ?? {};
    if (!get || !configurable) return;
    let isMade = false;
    defineProperty(globalThis, name, {
      get: () => {
        const value = apply(get, globalThis, []);
        if (!isMade) {
          isMade = true;
          const found = foundIn(intrinsicsOf(name, value), this.#known);
          if (this.#isKept) this.#keepAll(found);
          else this.#found.push(...found);
        }
        return value;
      },
      ...(set && { set }),
      enumerable,
      configurable,
    });
  }
}

/** Event handlers of the global object, such as `onerror`. Handlers that a task sets are removed after it. */
class Handlers {
  readonly #names: readonly string[];
  readonly #global = globalThis as unknown as Record<string, unknown>;
  #kept: unknown[] = [];

  constructor(names: readonly string[]) {
    this.#names = names;
    // Setting a handler for the first time adds properties: this must happen before the snapshot.
    for (const name of names) {
      const handler = this.#global[name];
      this.#global[name] = handler;
    }
  }

  keep(): void {
    for (let i = 0; i < this.#names.length; i++) this.#kept[i] = this.#global[this.#names[i]!];
    for (const name of ["onmessage", "onmessageerror"]) {
      const { set, ...rest } = getOwnPropertyDescriptor(globalThis, name) ?? {};
      if (!set || !rest.configurable) continue;
      const refuse = () => {
        throw new NativeTypeError(NO_MESSAGES);
      };
      defineProperty(globalThis, name, { ...rest, set: refuse });
    }
  }

  restore(): void {
    for (let i = 0; i < this.#names.length; i++) {
      const name = this.#names[i]!;
      if (this.#global[name] !== this.#kept[i]) this.#global[name] = this.#kept[i];
    }
  }
}

/** The objects of `intrinsics` that are not known yet. */
function foundIn({ fixed, prototypes, paths }: Intrinsics, known: Set<object>): Found[] {
  const found: Found[] = [];
  for (const object of [...prototypes, ...fixed]) {
    if (known.has(object)) continue;
    known.add(object);
    const path = paths.get(object) ?? "";
    // A method has no own properties that matter.
    const isMethod = typeof object === "function" && !hasOwn(object, "prototype") &&
      !prototypes.has(object) && path.includes(".");
    if (isMethod) continue;
    found.push({ object, path, isCore: CORE.test(path) });
  }
  return found;
}

/** Makes the tag of a prototype writable: with a read-only one, `map[Symbol.toStringTag] = "mine"` would fail. */
function letTagsBeOwn(prototype: object): void {
  const descriptor = getOwnPropertyDescriptor(prototype, Symbol.toStringTag);
  if (descriptor?.writable === false && descriptor.configurable) {
    defineProperty(prototype, Symbol.toStringTag, { writable: true });
  }
}

function differenceIn(list: readonly Watched[], isThorough: boolean): string | undefined {
  for (let i = 0; i < list.length; i++) {
    const { path, likeness } = list[i]!;
    const name = likeness.difference(isThorough);
    if (name !== undefined) return name === "" ? path : `${path}.${name}`;
  }
  return undefined;
}

/** The likeness of the global object. Globals that task files have added may change. */
function globalLikeness(builtIn: ReadonlySet<PropertyKey>, listener: RealmListener): Likeness {
  const added = (name: PropertyKey, { value }: PropertyDescriptor): Addition => {
    const isObject = typeof value === "function" || typeof value === "object" && value !== null;
    if (!isObject) return deleteProperty(globalThis, name) ? "removed" : "spoils";
    listener.added(`the global ${String(name)}`);
    return "stays";
  };
  const free = new Set<PropertyKey>();
  const names = ownKeys(globalThis);
  for (let i = 0; i < names.length; i++) {
    if (!setHas(builtIn, names[i]!)) setAdd(free, names[i]!);
  }
  return new Likeness(globalThis, { free, added });
}
