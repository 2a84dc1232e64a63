/** What the properties of an object were, for the day when they are not any more. */

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

/** Puts back what was changed. */
export class PropertySnapshot {
  readonly #object: object;
  readonly #names = new Set<PropertyKey>();
  #count = 0;
  readonly #only: readonly PropertyKey[] | undefined;
  readonly #kept: KeptProperty[] = [];

  /** Keeps those of its properties that may change, that `isKept` says, and that are among `only`. */
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

  /** Puts back what was kept, and takes away what was added. False: some of it cannot be. */
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

/** What becomes of a property that was added: it is left there, it was taken away, or it may stay under no circumstances. */
export type Addition = "stays" | "removed" | "spoils";

export interface LikenessOptions {
  /** Properties that may become anything. */
  readonly free?: ReadonlySet<PropertyKey>;
  /** Decides on a property that was added. */
  readonly added: (name: PropertyKey, descriptor: PropertyDescriptor) => Addition;
}

/** Finds what was changed, and puts nothing back. */
export class Likeness {
  readonly #object: Record<PropertyKey, unknown>;
  readonly #options: LikenessOptions;
  readonly #names = new Set<PropertyKey>();
  readonly #prototype: object | null;
  readonly #isExtensible: boolean;
  /** Properties that have a value can be compared without a descriptor, ten times quicker. */
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
   * The name of the first property that is changed, gone, or must not be there; empty where the object itself is
   * changed. `isThorough`: also looks at accessors, and whether the object was frozen.
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
    // What is free may have gone.
    if (names.length < this.#count && !this.#hasFree) return "";
    let count = names.length;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (setHas(this.#names, name)) continue;
      const descriptor = getOwnPropertyDescriptor(this.#object, name)!;
      // What hides something that was inherited is a change of that.
      const hides = this.#prototype !== null && name in this.#prototype;
      const addition = hides ? "spoils" : this.#options.added(name, descriptor);
      if (addition === "spoils") return String(name);
      if (addition === "stays") this.#leave(name);
      else count--;
    }
    this.#count = count;
    return undefined;
  }

  /** From now on it may become anything. */
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
