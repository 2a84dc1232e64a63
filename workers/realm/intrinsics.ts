/**
 * Finds what the language and the platform bring: everything that can be reached from the global names,
 * and what has no name, such as the prototypes of iterators. Looks at properties without calling getters,
 * but for the globals that are made when they are first asked for.
 */

import { getOwnPropertyDescriptor, getPrototypeOf, hasOwn, ownKeys } from "../primordials.ts";

/** Globals that few tasks ever ask for, and that take time to make. */
const SELDOM =
  /^(GPU|DOM(Matrix|Point|Quad|Rect)|Image|Offscreen|WebSocket|EventSource|Cache|caches|FileReader|Lock|on)/;

/** Not looked into: `process` and `console` are meant to be assigned to; an environment is not ours. */
const NOT_OURS: readonly PropertyKey[] = ["process", "console", "global", "globalThis", "self"];

export interface Intrinsics {
  /** Functions, and objects that are names for some, like `Math`. */
  readonly fixed: ReadonlySet<object>;
  /** What others inherit from. */
  readonly prototypes: ReadonlySet<object>;
  /** Objects of a class, like `performance`. */
  readonly instances: ReadonlySet<object>;
  /** How code reaches each, like `Array.prototype`. */
  readonly paths: ReadonlyMap<object, string>;
}

/** Those of the globals with these names. */
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

/** What belongs to the global `name` alone, whose value has been made just now. */
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
    // What lies under a symbol and is no method is the insides of an object.
    if (typeof name === "string" || typeof value === "function") this.find(value, own);
    this.find(get, own);
    this.find(set, own);
  }

  run(): Intrinsics {
    // In the order in which they were found, so that each has its shortest path.
    for (let i = 0; i < this.#waiting.length; i++) this.#look(this.#waiting[i]!);
    return this;
  }

  #look(object: object): void {
    const prototype = getPrototypeOf(object);
    const path = this.paths.get(object)!;
    this.findPrototype(prototype, `the prototype of ${path}`);
    if (typeof object === "function") {
      if (!this.prototypes.has(object)) this.fixed.add(object);
      // A method has nothing of its own but its name and length.
      if (!hasOwn(object, "prototype") && !this.prototypes.has(object)) return;
      this.findPrototype((object as { prototype?: unknown }).prototype, `${path}.prototype`);
    } else if (!this.prototypes.has(object)) {
      // One of no class is a name for what is in it.
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
