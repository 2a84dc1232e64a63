/**
 * Remembers the properties of an object. `PropertySnapshot` restores them, `Likeness` finds changes and restores
 * nothing. `Realm` uses both between two tasks; they call no method that a task can have replaced.
 */

import {
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  isExtensible,
  ownKeys,
  setAdd,
  setHas,
} from "../primordials.ts";

interface KeptProperty {
  readonly name: PropertyKey;
  readonly descriptor: PropertyDescriptor;
}

/** Restores changed properties of an object. */
export class PropertySnapshot {
  readonly #object: object;
  readonly #names = new Set<PropertyKey>();
  #count = 0;
  readonly #only: readonly PropertyKey[] | undefined;
  readonly #kept: KeptProperty[] = [];

  /** Keeps the properties that can change, for which `isKept` is true, and that are in `only`, if given. */
  constructor(
    object: object,
    isKept: (descriptor: PropertyDescriptor) => boolean,
    only?: readonly PropertyKey[],
  ) {
    this.#object = object;
    this.#only = only;
    const names = only ?? ownKeys(object);
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      const descriptor = getOwnPropertyDescriptor(object, name);
      if (!descriptor) continue;
      setAdd(this.#names, name);
      this.#count++;
      const canChange = descriptor.configurable || descriptor.writable;
      if (canChange && isKept(descriptor)) this.#kept[this.#kept.length] = { name, descriptor };
    }
  }

  /** Restores the kept properties, and removes added ones. False if some of that is impossible. */
  restore(): boolean {
    let isWhole = this.#dropAdded();
    for (let i = 0; i < this.#kept.length; i++) {
      const { name, descriptor } = this.#kept[i]!;
      if (isSame(getOwnPropertyDescriptor(this.#object, name), descriptor)) continue;
      isWhole = putBack(this.#object, name, descriptor) && isWhole;
    }
    return isWhole;
  }

  #dropAdded(): boolean {
    const names = this.#only ?? ownKeys(this.#object);
    if (names.length === this.#count) return true;
    let isWhole = true;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (!setHas(this.#names, name)) isWhole = deleteProperty(this.#object, name) && isWhole;
    }
    return isWhole;
  }
}

/** The verdict on an added property: it stays, it was removed, or it makes the worker unusable. */
export type Addition = "stays" | "removed" | "spoils";

interface LikenessOptions {
  /** Properties that may change. */
  readonly free?: ReadonlySet<PropertyKey>;
  /** Decides on a property that was added. */
  readonly added: (name: PropertyKey, descriptor: PropertyDescriptor) => Addition;
}

/** Finds changes of an object. */
export class Likeness {
  readonly #object: Record<PropertyKey, unknown>;
  readonly #options: LikenessOptions;
  readonly #names = new Set<PropertyKey>();
  readonly #prototype: object | null;
  readonly #isExtensible: boolean;
  /** Properties with a value: these can be compared without a descriptor, ten times faster. */
  readonly #valued: PropertyKey[] = [];
  readonly #values: unknown[] = [];
  readonly #accessors: KeptProperty[] = [];
  #count = 0;
  #hasFree: boolean;

  constructor(object: object, options: LikenessOptions) {
    this.#object = object as Record<PropertyKey, unknown>;
    this.#options = options;
    this.#hasFree = options.free !== undefined;
    this.#prototype = getPrototypeOf(object);
    this.#isExtensible = isExtensible(object);
    const names = ownKeys(object);
    this.#count = names.length;
    for (let i = 0; i < names.length; i++) this.#keep(names[i]!);
  }

  /**
   * The name of the first property that was changed, removed or wrongly added; empty if the object itself was changed.
   * `isThorough`: also compares accessors, the prototype, and whether the object is extensible.
   */
  difference(isThorough: boolean): string | undefined {
    const { length } = this.#valued;
    for (let i = 0; i < length; i++) {
      const now = this.#object[this.#valued[i]!], then = this.#values[i];
      // Not the same, and not both NaN.
      if (now !== then && (now === now || then === then)) return String(this.#valued[i]);
    }
    const changed = isThorough ? this.#thoroughDifference() : undefined;
    if (changed !== undefined) return changed;
    const names = ownKeys(this.#object);
    return names.length === this.#count ? undefined : this.#newNames(names);
  }

  #thoroughDifference(): string | undefined {
    for (let i = 0; i < this.#accessors.length; i++) {
      const { name, descriptor } = this.#accessors[i]!;
      if (!isSame(getOwnPropertyDescriptor(this.#object, name), descriptor)) return String(name);
    }
    return getPrototypeOf(this.#object) === this.#prototype &&
        isExtensible(this.#object) === this.#isExtensible
      ? undefined
      : "";
  }

  #newNames(names: readonly PropertyKey[]): string | undefined {
    // A free property can have been removed.
    if (names.length < this.#count && !this.#hasFree) return "";
    let count = names.length;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (setHas(this.#names, name)) continue;
      const descriptor = getOwnPropertyDescriptor(this.#object, name)!;
      // A property that hides an inherited one changes that.
      const hides = this.#prototype !== null && name in this.#prototype;
      const addition = hides ? "spoils" : this.#options.added(name, descriptor);
      if (addition === "spoils") return String(name);
      if (addition === "stays") this.#leave(name);
      else count--;
    }
    this.#count = count;
    return undefined;
  }

  /** From now on the property may change. */
  #leave(name: PropertyKey): void {
    setAdd(this.#names, name);
    this.#hasFree = true;
  }

  #keep(name: PropertyKey): void {
    setAdd(this.#names, name);
    if (this.#options.free && setHas(this.#options.free, name)) return;
    const descriptor = getOwnPropertyDescriptor(this.#object, name)!;
    if ("value" in descriptor) {
      this.#valued[this.#valued.length] = name;
      this.#values[this.#values.length] = descriptor.value;
    } else this.#accessors[this.#accessors.length] = { name, descriptor };
  }
}

function isSame(now: PropertyDescriptor | undefined, then: PropertyDescriptor): boolean {
  return now !== undefined && now.value === then.value && now.get === then.get &&
    now.set === then.set && now.writable === then.writable;
}

function putBack(object: object, name: PropertyKey, descriptor: PropertyDescriptor): boolean {
  try {
    defineProperty(object, name, descriptor);
    return true;
  } catch {
    // The task has made it read-only.
    return false;
  }
}
