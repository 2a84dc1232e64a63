/** What went wrong in a run: how often each kind of it, and the first few of each in words. */

/** Each must be 0. */
export const FAULTS = [
  /** Acknowledged, and not there or not final in the end. */
  "lost",
  /** A task exists that was not sent, or it exists twice. */
  "invented",
  /** Two ends of one task, with no retry between them. */
  "two ends",
  "cancel undone",
  /** A reply to something that this client never asked, or about another's task. */
  "wrong client",
  "wrong result",
  /** Failed, cancelled or expired otherwise than its client asked for. */
  "wrong end",
  /** A task was refused, and exists. */
  "refused but kept",
  "refused",
  /** More tasks of a key at a time than its limit, or one that ran before those it comes after. */
  "wrong order",
  /** Nothing was killed, every task is final, and a client got no final line. */
  "unanswered",
  "store",
  "server",
] as const;
export type FaultKind = typeof FAULTS[number];

const EXAMPLES = 4;

export class Faults {
  readonly #counts = new Map<FaultKind, number>();
  readonly #examples: string[] = [];

  add(kind: FaultKind, what: string): void {
    const count = this.count(kind) + 1;
    this.#counts.set(kind, count);
    if (count <= EXAMPLES) this.#examples.push(`${kind}: ${what}`);
  }

  count(kind: FaultKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  get total(): number {
    return [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** Counts, then examples; empty when all is well. */
  lines(): string[] {
    return [...[...this.#counts].map(([kind, count]) => `${count} × ${kind}`), ...this.#examples];
  }
}
