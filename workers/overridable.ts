/**
 * Methods of a prototype that nobody can change any more, and that objects which inherit them can still
 * have their own of: `error.toString = …`, `Sub.prototype.constructor = Sub`. A property that merely were
 * read-only would forbid these assignments as well.
 */

import {
  defineProperty,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  NativeTypeError,
  ownKeys,
} from "./primordials.ts";

/** `[].slice()` and its like look at `constructor`: as a getter it makes them some twenty times slower. */
const SPECIES = new Set<object>([
  Array.prototype,
  ArrayBuffer.prototype,
  Promise.prototype,
  SharedArrayBuffer.prototype,
  getPrototypeOf(Uint8Array.prototype),
]);
/** `text.split(…)` as well, with any method that is a getter. Nobody assigns to what inherits from text. */
const LEFT_ALONE = new Set<object>([String.prototype]);

/** For a prototype that is frozen next. */
export function makeOverridable(prototype: object): void {
  if (LEFT_ALONE.has(prototype)) return;
  for (const name of ownKeys(prototype)) {
    if (typeof name !== "string" || name === "constructor" && isOfSpecies(prototype)) continue;
    const descriptor = getOwnPropertyDescriptor(prototype, name)!;
    if (descriptor.configurable && "value" in descriptor) override(prototype, name, descriptor);
  }
}

function isOfSpecies(prototype: object): boolean {
  return SPECIES.has(prototype) || SPECIES.has(getPrototypeOf(prototype));
}

function override(owner: object, name: string, { value, enumerable = false }: PropertyDescriptor) {
  defineProperty(owner, name, {
    get: () => value,
    set(this: object, own: unknown) {
      if (this === owner) {
        throw new NativeTypeError(`a task cannot change what is built in: ${name}`);
      }
      const isOwn = hasOwn(this, name);
      defineProperty(
        this,
        name,
        isOwn
          ? { value: own }
          : { value: own, writable: true, enumerable: true, configurable: true },
      );
    },
    enumerable,
    configurable: false,
  });
}
