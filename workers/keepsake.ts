/** What the properties of an object were, for the day when they are not any more. */

import {
  defineProperty,
  deleteProperty,
  getOwnPropertyDescriptor,
  ownKeys,
  setHas,
} from "./primordials.ts";

interface KeptProperty {
  readonly name: PropertyKey;
  readonly descriptor: PropertyDescriptor;
}

export class Keepsake {
  readonly #object: object;
  readonly #names: ReadonlySet<PropertyKey>;
  readonly #kept: KeptProperty[] = [];

  /** Keeps those of its properties that may change, and that `isKept` says. */
  constructor(object: object, isKept: (descriptor: PropertyDescriptor) => boolean) {
    this.#object = object;
    const names = ownKeys(object);
    this.#names = new Set(names);
    for (const name of names) {
      const descriptor = getOwnPropertyDescriptor(object, name)!;
      const canChange = descriptor.configurable || descriptor.writable;
      if (canChange && isKept(descriptor)) this.#kept.push({ name, descriptor });
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
    const names = ownKeys(this.#object);
    if (names.length === this.#names.size) return true;
    let isWhole = true;
    for (let i = 0; i < names.length; i++) {
      const name = names[i]!;
      if (!setHas(this.#names, name)) isWhole = deleteProperty(this.#object, name) && isWhole;
    }
    return isWhole;
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
