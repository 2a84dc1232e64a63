/**
 * Latencies of any number of tasks in bounded memory: all of them while they fit, then every second,
 * every fourth, and so on, evenly over the whole run. The longest is always kept.
 */
export class LatencySamples {
  readonly #samples: Float64Array;
  #size = 0;
  /** One of so many is kept. */
  #stride = 1;
  #skip = 0;
  #maxMs = 0;

  constructor(capacity: number) {
    this.#samples = new Float64Array(capacity);
  }

  add(ms: number): void {
    if (ms > this.#maxMs) this.#maxMs = ms;
    if (this.#skip > 0) {
      this.#skip--;
      return;
    }
    if (this.#size === this.#samples.length) this.#thin();
    this.#samples[this.#size++] = ms;
    this.#skip = this.#stride - 1;
  }

  /** The latencies that `parts` of all tasks stayed under (0.5 is the median), and the longest. */
  summary(parts: readonly number[]): { percentiles: number[]; maxMs: number } {
    const sorted = this.#samples.slice(0, this.#size).sort();
    const percentiles = parts.map((part) => {
      const place = Math.ceil(part * sorted.length) - 1;
      return sorted[Math.max(0, place)] ?? 0;
    });
    return { percentiles, maxMs: this.#maxMs };
  }

  #thin(): void {
    for (let i = 0; 2 * i < this.#size; i++) this.#samples[i] = this.#samples[2 * i] ?? 0;
    this.#size = Math.ceil(this.#size / 2);
    this.#stride *= 2;
  }
}
