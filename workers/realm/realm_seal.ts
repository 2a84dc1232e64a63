/**
 * Keeps what the language and the platform bring the same for every task of a worker, and leaves all of it open: a task
 * may change what it likes, as in any program, and packages find everything as they know it. Between two tasks a worker
 * looks at what has become of it:
 *
 *     put back   settings: `Error.stackTraceLimit`, `Error.prepareStackTrace`, `onerror`, members of `console`,
 *                `process`, `crypto` and the like; a global that was added and holds no object is removed
 *     stays      what was added: a global that holds an object, a member of something built in that no `for … in` shows.
 *                A package that a handler has imported may need it, and is imported only once
 *     spoils     what was changed or removed: the worker is of no more use, and another takes its place
 *
 * This is hygiene, not security: code that means harm gets round it. What modules export is their own affair.
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

/** What nearly all code is made of: looked at after each task, the rest less often. */
const CORE =
  /^(Object|Function|Array|String|Number|Boolean|Symbol|BigInt|Math|JSON|Reflect|Promise|Map|Set|WeakMap|WeakSet|RegExp|Date|Iterator|\w*Error|the prototype of .*Iterator)(\.prototype)?$/;
const NO_MESSAGES = "a task gets no messages; what it is given are its arguments";
/** Settings of a program's own, which are put back. */
const SETTING_NAMES: readonly PropertyKey[] = ["prepareStackTrace", "stackTraceLimit"];
const SETTINGS: ReadonlySet<PropertyKey> = new Set(SETTING_NAMES);
const IS_PROTOTYPE = /\.prototype$|^the prototype of /;

/** What is built in, and how code reaches it. */
interface Found {
  readonly object: object;
  readonly path: string;
  readonly isCore: boolean;
}

interface Watched {
  readonly path: string;
  readonly likeness: Likeness;
}

export interface RealmListener {
  /** Something was added, and is left there. */
  added(path: string): void;
}

export class Realm {
  readonly #listener: RealmListener;
  readonly #builtIn: ReadonlySet<PropertyKey>;
  readonly #instances: readonly object[];
  /** Taken apart before any task file loads, which may change what it is taken apart with. */
  readonly #found: Found[];
  readonly #handlers: Handlers;
  readonly #known = new Set<object>();
  readonly #core: Watched[] = [];
  readonly #rest: Watched[] = [];
  #keepsakes: PropertySnapshot[] = [];
  #isKept = false;

  /** Finds what there is. Call it after `guardRealm`, before any task file loads. */
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

  /** Remembers what it is like, and `ours`. Call it once the task files have loaded, which may add to it. */
  keep(ours: readonly [path: string, object: object][]): void {
    // With its first call this one puts itself, for a moment, out of the way of the engine's own.
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
    this.#keepsakes = [
      // How a process is called, and how it will end, is its own.
      new PropertySnapshot(
        process,
        ({ value, get }) => typeof value === "function" || get !== undefined,
      ),
      new PropertySnapshot(console, () => true),
      new PropertySnapshot(Error, () => true, SETTING_NAMES),
    ];
    for (let i = 0; i < this.#instances.length; i++) {
      this.#keepsakes[this.#keepsakes.length] = new PropertySnapshot(
        this.#instances[i]!,
        () => true,
      );
    }
  }

  /**
   * Puts back what can be, and finds what spoils the worker: returns what it is, like `Array.prototype.push`.
   * A look that is thorough takes up to a ms, another some 50 µs.
   */
  look(isThorough: boolean): string | undefined {
    this.#handlers.restore();
    for (let i = 0; i < this.#keepsakes.length; i++) {
      if (!this.#keepsakes[i]!.restore()) return "something that cannot be put back";
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
      // Every `for … in` over what inherits from it would show it.
      if (isPrototype && enumerable) return "spoils";
      this.#listener.added(`${path}.${String(name)}`);
      return "stays";
    };
    const free = object === Error ? { free: SETTINGS } : {};
    const list = isCore ? this.#core : this.#rest;
    list[list.length] = { path, likeness: new Likeness(object, { ...free, added }) };
  }

  /** What few tasks ask for takes time to make, and is kept when the first one asks. */
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

/** Handlers of events of the global object, such as `onerror`: those of a task end with it. */
class Handlers {
  readonly #names: readonly string[];
  readonly #global = globalThis as unknown as Record<string, unknown>;
  #kept: unknown[] = [];

  constructor(names: readonly string[]) {
    this.#names = names;
    // The runtime adds a place for them with the first one that is set.
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

/** What is not known yet. */
function foundIn({ fixed, prototypes, paths }: Intrinsics, known: Set<object>): Found[] {
  const found: Found[] = [];
  for (const object of [...prototypes, ...fixed]) {
    if (known.has(object)) continue;
    known.add(object);
    const path = paths.get(object) ?? "";
    // A method has nothing of its own that code would look at.
    const isMethod = typeof object === "function" && !hasOwn(object, "prototype") &&
      !prototypes.has(object) && path.includes(".");
    if (isMethod) continue;
    found.push({ object, path, isCore: CORE.test(path) });
  }
  return found;
}

/** `map[Symbol.toStringTag] = "mine"`: what inherits a tag that is read-only could not have one of its own. */
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

/** Globals of the files' own change as they like. */
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
