/**
 * Promises for Node 20 as well: one that a signal ends, one that is settled from outside, one that can be left alone.
 * `@std/async` asks for more than Node 20 has.
 */

/**
 * A promise that settles as `promise` does, or rejects with the reason of `signal` when that aborts; then `onAbort` is
 * called once. Without a signal it is `promise` itself.
 */
export function abortable<T>(
  promise: Promise<T>,
  signal: AbortSignal | undefined,
  onAbort: () => void = () => undefined,
): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason);
      onAbort();
    };
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) abort();
    else signal.addEventListener("abort", abort, { once: true });
  });
}

/** A promise and the functions that settle it. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T | PromiseLike<T>): void;
  reject(reason: unknown): void;
}

/** Makes a promise that is settled from outside. The runtime's own function is faster. */
export const deferred: <T>() => Deferred<T> = typeof Promise.withResolvers === "function"
  ? <T>() => Promise.withResolvers<T>()
  : withResolvers;

function withResolvers<T>(): Deferred<T> {
  let resolve!: Deferred<T>["resolve"];
  let reject!: Deferred<T>["reject"];
  const promise = new Promise<T>((...settle) => [resolve, reject] = settle);
  return { promise, resolve, reject };
}

/** Returns `promise`; its rejection does not count as unhandled. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
