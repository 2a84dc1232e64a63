/**
 * The built-in functions that a worker's own code uses, taken when the worker starts. Task code runs in the same realm:
 * if it replaces `JSON.stringify` or a method of a prototype, it breaks itself and not the worker. The worker's entry
 * imports this file first.
 */

import { setImmediate } from "node:timers";

type Method<T, A extends unknown[], R> = (this: T, ...args: A) => R;

const { bind, call } = Function.prototype;

/** `method` as a function that takes its `this` first, and that later changes cannot affect. */
export const uncurryThis = bind.bind(call) as <T, A extends unknown[], R>(
  method: Method<T, A, R>,
) => (self: T, ...args: A) => R;

/** The getter of `prototype[name]` as a function of the object. */
export function uncurryGetter<T, R>(prototype: T, name: keyof T): (self: T) => R {
  const { get } = Object.getOwnPropertyDescriptor(prototype, name) ?? {};
  if (!get) throw new TypeError(`${String(name)} is no getter`);
  return uncurryThis(get as Method<T, [], R>);
}

export const { parse, stringify } = JSON;
export const { isFinite } = Number;
export const { floor, max, min, round } = Math;
export const {
  defineProperty,
  freeze,
  getOwnPropertyDescriptor,
  getPrototypeOf,
  hasOwn,
  isExtensible,
  preventExtensions,
  setPrototypeOf,
} = Object;
export const { apply, deleteProperty, ownKeys } = Reflect;
export const NativePromise = Promise;
const plainPromise = Promise.prototype;
export const NativeError = Error;
export const NativeTypeError = TypeError;
export const NativeException = DOMException;
export const Bytes = Uint8Array;
export const lengthOf = uncurryGetter<Uint8Array, number>(
  getPrototypeOf(Uint8Array.prototype),
  "length",
);
export const toText = String;

export const AbortSource = AbortController;
export const abort = uncurryThis(AbortController.prototype.abort);
export const signalOf = uncurryGetter<AbortController, AbortSignal>(
  AbortController.prototype,
  "signal",
);

export const promiseThen = uncurryThis(
  Promise.prototype.then as Method<
    Promise<unknown>,
    [(value: unknown) => void, (error: unknown) => void],
    Promise<void>
  >,
);
/** Whether `value` is a native promise, and not one of a class derived from it. */
export function isPlainPromise(value: unknown): value is Promise<unknown> {
  return getPrototypeOf(value) === plainPromise;
}

export const charCodeAt = uncurryThis(String.prototype.charCodeAt);
export const startsWith = uncurryThis(String.prototype.startsWith);
export const toLowerCase = uncurryThis(String.prototype.toLowerCase);
export const indexOf = uncurryThis(
  String.prototype.indexOf as Method<string, [search: string, from?: number], number>,
);
export const slice = uncurryThis(String.prototype.slice);
export const mapGet = uncurryThis(
  Map.prototype.get as Method<ReadonlyMap<string, unknown>, [string], unknown>,
);

export const mapForEach = uncurryThis(
  Map.prototype.forEach as Method<
    ReadonlyMap<unknown, unknown>,
    [(value: unknown, key: unknown) => void],
    void
  >,
);
export const NativeMap = Map;
export const setHas = uncurryThis(
  Set.prototype.has as Method<ReadonlySet<unknown>, [unknown], boolean>,
);
export const setAdd = uncurryThis(
  Set.prototype.add as Method<Set<unknown>, [unknown], Set<unknown>>,
);

export const microtask = queueMicrotask;
/** Calls back once everything that is due now, microtasks included, has run. */
export const nextTurn: (callback: () => void) => unknown = setImmediate;
export const startInterval = setInterval;
export const stopInterval = clearInterval;
export const preventDefault = uncurryThis(Event.prototype.preventDefault);
export const closeWorker = globalThis.close.bind(globalThis);

/** Memory of this worker's isolate, and of the process; in bytes. */
export const { memoryUsage } = Deno;

const encoder = new TextEncoder();
export const encode = encoder.encode.bind(encoder);
export const encodeInto = encoder.encodeInto.bind(encoder);

/** ms since the thread started, with a fraction. */
export const now = performance.now.bind(performance);

/** ms since 1970. */
export const wallClock = Date.now;
/** A value as text, as Deno shows it. */
export const { inspect } = Deno;
const { create } = Object;
/** An object without a prototype. */
export const newDictionary = <T>(): Record<string, T> => create(null);
