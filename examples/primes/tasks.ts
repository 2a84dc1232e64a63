/** Counts primes: each task those of one range, and a last one adds up what they found. */
/// <reference path="../starter/sd.d.ts" />

/** How many primes `p` there are with `from` ≤ `p` < `to`: the sieve of Eratosthenes, over that range alone. */
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

/** `after` holds what the tasks returned that this one came after. */
export function total(_: unknown, { after }: TaskContext): number {
  return Object.values(after).map(Number).reduce((sum, count) => sum + count, 0);
}
