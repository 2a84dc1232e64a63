/** Counts primes: each task in a range of numbers, and a last task adds up the results. */
/// <reference path="../starter/sd.d.ts" />

/** The number of primes `p` with `from` ≤ `p` < `to`, by the sieve of Eratosthenes over that range alone. */
export function count_primes({ from, to }: { from: number; to: number }): number {
  const composite = new Uint8Array(to - from);
  for (let divisor = 2; divisor * divisor < to; divisor++) {
    const first = Math.max(divisor * divisor, Math.ceil(from / divisor) * divisor);
    for (let n = first; n < to; n += divisor) composite[n - from] = 1;
  }
  let primes = 0;
  for (let n = Math.max(from, 2); n < to; n++) primes += 1 - composite[n - from]!;
  return primes;
}

/** `after` holds the results of the tasks before this one. */
export function total(_: unknown, { after }: TaskContext): number {
  return Object.values(after).map(Number).reduce((sum, count) => sum + count, 0);
}
