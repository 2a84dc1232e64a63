/**
 * Finds the built-in objects of the language and the platform: all that can be reached from the global names, and
 * objects without a name, such as the prototypes of iterators. Reads properties without calling getters, except for
 * globals that are made at their first use. `Realm` calls it.
 */

import { getOwnPropertyDescriptor, getPrototypeOf, hasOwn, ownKeys } from "../primordials.ts";

/** Globals that few tasks use, and that take time to make. */
const SELDOM =
  /^(GPU|DOM(Matrix|Point|Quad|Rect)|Image|Offscreen|WebSocket|EventSource|Cache|caches|FileReader|Lock|on)/;

/** Globals that are left out: programs assign to `process` and `console`, and the others are names of the global object. */
const NOT_OURS: readonly PropertyKey[] = ["process", "console", "global", "globalThis", "self"];

export interface Intrinsics {
  /** Functions, and objects that hold functions, like `Math`. */
  readonly fixed: ReadonlySet<object>;
  /** Prototypes of other objects. */
  readonly prototypes: ReadonlySet<object>;
  /** Objects of a class, like `performance`. */
  readonly instances: ReadonlySet<object>;
  /** The path by which code reaches each object, like `Array.prototype`. */
  readonly paths: ReadonlyMap<object, string>;
}

/** The built-in objects behind the globals `names`. */
export function findIntrinsics(names: readonly PropertyKey[]): Intrinsics {
  const search = new Search();
  for (const name of names) {
    if (NOT_OURS.includes(name)) continue;
    const descriptor = getOwnPropertyDescriptor(globalThis, name)!;
    search.visit(name, descriptor, "");
    if (descriptor.get && !isSeldom(name)) search.find(valueOf(name), String(name));
  }
  for (const object of nameless()) {
    const prototype = getPrototypeOf(object);
    search.findPrototype(prototype, `the prototype of ${tagOf(object)}`);
  }
  search.findPrototype(getPrototypeOf(globalThis), "the prototype of globalThis");
  return search.run();
}

/** The built-in objects behind the global `name`, whose value was made just now. */
export function intrinsicsOf(name: string, value: unknown): Intrinsics {
  const search = new Search();
  search.find(value, name);
  return search.run();
}

export function isSeldom(name: PropertyKey): boolean {
  return typeof name === "string" && SELDOM.test(name);
}

function valueOf(name: PropertyKey): unknown {
  try {
    return (globalThis as unknown as Record<PropertyKey, unknown>)[name];
  } catch {
    return undefined;
  }
}

function nameless(): object[] {
  const helpers = Iterator.from({ next: () => ({ done: true, value: undefined }) });
  return [
    [].values(),
    new Map().values(),
    new Set().values(),
    ""[Symbol.iterator](),
    "".matchAll(/x/g),
    helpers,
    helpers.map(() => undefined),
    function* () {},
    async function () {},
    async function* () {},
    new Headers().values(),
    new URLSearchParams().values(),
    new FormData().values(),
    new ReadableStream().values(),
  ];
}

/** Like `Map Iterator`. */
function tagOf(object: object): string {
  return Object.prototype.toString.call(object).slice("[object ".length, -1);
}

class Search {
  readonly fixed = new Set<object>();
  readonly prototypes = new Set<object>();
  readonly instances = new Set<object>();
  readonly paths = new Map<object, string>([[globalThis, "globalThis"]]);
  readonly #waiting: object[] = [];

  find(value: unknown, path: string): void {
    if (!isObject(value) || this.paths.has(value)) return;
    this.paths.set(value, path);
    this.#waiting.push(value);
  }

  findPrototype(value: unknown, path: string): void {
    if (isObject(value)) this.prototypes.add(value);
    this.find(value, path);
  }

  visit(name: PropertyKey, { value, get, set }: PropertyDescriptor, path: string): void {
    const own = path === "" ? String(name) : `${path}.${String(name)}`;
    // A symbol property that is no method belongs to the internals of the object.
    if (typeof name === "string" || typeof value === "function") this.find(value, own);
    this.find(get, own);
    this.find(set, own);
  }

  run(): Intrinsics {
    // In the order in which they were found, so that each object has its shortest path.
    for (let i = 0; i < this.#waiting.length; i++) this.#look(this.#waiting[i]!);
    return this;
  }

  #look(object: object): void {
    const prototype = getPrototypeOf(object);
    const path = this.paths.get(object)!;
    this.findPrototype(prototype, `the prototype of ${path}`);
    if (typeof object === "function") {
      if (!this.prototypes.has(object)) this.fixed.add(object);
      // A method has no own properties but its name and length.
      if (!hasOwn(object, "prototype") && !this.prototypes.has(object)) return;
      this.findPrototype((object as { prototype?: unknown }).prototype, `${path}.prototype`);
    } else if (!this.prototypes.has(object)) {
      // An object of no class is a namespace.
      const isNamespace = prototype === null || prototype === Object.prototype;
      (isNamespace ? this.fixed : this.instances).add(object);
      if (!isNamespace) return;
    }
    for (const name of ownKeys(object)) {
      this.visit(name, getOwnPropertyDescriptor(object, name)!, path);
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === "function" || typeof value === "object" && value !== null;
}
