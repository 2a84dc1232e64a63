/**
 * Makes what the language and the platform bring unchangeable in a worker, so that no task leaves it
 * changed to the next: once its task files have loaded, since files may add to it as they load.
 *
 *     frozen   functions and prototypes, as far as there is a way to them from the globals
 *     fixed    the globals themselves
 *     mended   after a task: what is meant to be assigned to, and what must stay as it is to be quick;
 *              and globals that the task has added are gone
 *
 * What modules export, those of `node:` and of npm too, is their own affair, as it is in any program.
 */

import { findIntrinsics, type Intrinsics, intrinsicsOf, isSeldom } from "./intrinsics.ts";
import { Keepsake } from "./keepsake.ts";
import { makeOverridable } from "./overridable.ts";
import {
  apply,
  defineProperty,
  freeze,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  microtask,
  NativeTypeError,
  ownKeys,
  preventExtensions,
} from "./primordials.ts";

/**
 * Regular expressions are ten times slower once any attribute of their prototype is another, and so is to take
 * apart a `Map` with that of iterators, to whose heirs libraries assign.
 */
const UNSEALED: readonly object[] = [
  RegExp.prototype,
  getPrototypeOf(getPrototypeOf([].values())),
];

export class Realm {
  readonly #globals: readonly PropertyKey[];
  readonly #intrinsics: Intrinsics;
  #keepsakes: readonly Keepsake[] = [];

  /** Finds what there is. Call it after `guardRealm`, before any task file loads. */
  constructor() {
    this.#globals = ownKeys(globalThis);
    this.#intrinsics = findIntrinsics(this.#globals);
  }

  /** Seals it, and `ours`: functions and prototypes. Call it once the task files have loaded. */
  seal(ours: readonly object[]): void {
    // With its first call this one puts itself, for a moment, out of the way of the engine's own.
    microtask(() => {});
    sealDenoSetters();
    sealAll(this.#intrinsics);
    for (const each of ours) {
      if (typeof each === "function") freeze(each);
      else sealPrototype(each);
    }
    for (const name of this.#globals) fixGlobal(name);
    this.#keepsakes = [
      // What the files have put there is theirs to change.
      new Keepsake(globalThis, () => false),
      // So is how a process is called, and how it will end.
      new Keepsake(process, ({ value, get }) => typeof value === "function" || get !== undefined),
      ...[...UNSEALED, Error, console, ...this.#intrinsics.instances]
        .map((object) => new Keepsake(object, () => true)),
    ];
  }

  /** Puts back what a task has changed. False: that cannot be, and the worker is of no more use. */
  mend(): boolean {
    let isWhole = true;
    for (let i = 0; i < this.#keepsakes.length; i++) {
      isWhole = this.#keepsakes[i]!.restore() && isWhole;
    }
    return isWhole;
  }
}

function sealAll({ fixed, prototypes }: Intrinsics): void {
  for (const prototype of prototypes) sealPrototype(prototype);
  for (const object of fixed) freeze(object);
}

function sealPrototype(prototype: object): void {
  if (UNSEALED.includes(prototype)) return;
  // `TypeError` and its like inherit from it.
  if (prototype === Error) return sealError();
  makeOverridable(prototype);
  freeze(prototype);
}

/** What of it formats a stack is for every program to set, and is mended. */
function sealError(): void {
  if (!("prepareStackTrace" in Error)) {
    defineProperty(Error, "prepareStackTrace", { value: undefined, writable: true });
  }
  for (const name of ownKeys(Error)) {
    if (name === "prepareStackTrace" || name === "stackTraceLimit") continue;
    defineProperty(Error, name, { writable: false, configurable: false });
  }
  preventExtensions(Error);
}

/** What is loaded when it is asked for can be set as well, however frozen. */
function sealDenoSetters(): void {
  for (const name of ownKeys(Deno)) {
    const { get, set, configurable } = getOwnPropertyDescriptor(Deno, name)!;
    if (get && set && configurable) {
      defineProperty(Deno, name, { get, set: undefined as never });
    }
  }
}

function fixGlobal(name: PropertyKey): void {
  const descriptor = getOwnPropertyDescriptor(globalThis, name);
  if (!descriptor?.configurable) return;
  const { get } = descriptor;
  if (!get) return void defineProperty(globalThis, name, { writable: false, configurable: false });
  defineProperty(globalThis, name, {
    get: isSeldom(name) ? sealingFirst(get) : get,
    set: () => {
      throw new NativeTypeError(`a task cannot change the global ${String(name)}`);
    },
    configurable: false,
  });
}

/** A getter of what is made when it is first asked for, and sealed then. */
function sealingFirst(get: () => unknown): () => unknown {
  let isSealed = false;
  return () => {
    const value = apply(get, globalThis, []);
    if (!isSealed) {
      isSealed = true;
      sealAll(intrinsicsOf(value));
    }
    return value;
  };
}
