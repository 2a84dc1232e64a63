/** A promise and the means to settle it: `Promise.withResolvers`, and the same for Node 20, which has it not. */

export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T | PromiseLike<T>): void;
  reject(reason: unknown): void;
}

/** That of the runtime is the quicker one. */
export const deferred: <T>() => Deferred<T> = typeof Promise.withResolvers === "function"
  ? <T>() => Promise.withResolvers<T>()
  : withResolvers;

function withResolvers<T>(): Deferred<T> {
  let resolve!: Deferred<T>["resolve"];
  let reject!: Deferred<T>["reject"];
  const promise = new Promise<T>((...settle) => [resolve, reject] = settle);
  return { promise, resolve, reject };
}

/** `promise`, whose rejection counts as seen even where nobody awaits it. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
