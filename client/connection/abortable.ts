/** A promise that a signal gives up. `@std/async/abortable` asks for more than Node 20 has. */

/**
 * What `promise` comes to, or the reason of `signal` as soon as it aborts; `onAbort` is then called once.
 * Without a signal it is `promise` itself.
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
