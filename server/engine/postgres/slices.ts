/**
 * The slices of the tables of tasks that are there, and how many tasks each has. A task without a slice lies in the tables
 * that are left when slices are dropped.
 */

interface Slice {
  /** Tasks in it. Tasks of earlier leads are missing until they are counted. */
  rows: number;
  isCounted: boolean;
  hasAttachments: boolean;
}

/** Tasks that are still in a slice when it is dropped, at most: they are copied while commits wait. */
const MAX_LEFT = 2000;

export class Slices {
  readonly #rowsOfSlice: number;
  readonly #slices = new Map<number, Slice>();
  #leftHasAttachments = true;
  /** The highest slice. */
  #last = -1;

  /** `rows`: the numbers of a slice. */
  constructor(rows: number) {
    this.#rowsOfSlice = rows;
  }

  /** The slice with the task `ord`; `undefined` if that has none. */
  of(ord: number): number | undefined {
    const n = this.#numberOf(ord);
    return this.#slices.has(n) ? n : undefined;
  }

  /**
   * The slices to make now, for new tasks with the numbers `ords` and for some numbers more. Each is named once, and only
   * above all others: a task that is late finds its slice, or has none for ever.
   */
  claim(ords: readonly number[]): number[] {
    const claimed = new Set<number>();
    let last = 0;
    for (const ord of ords) {
      last = Math.max(last, ord);
      if (this.#numberOf(ord) > this.#last) claimed.add(this.#numberOf(ord));
    }
    const ahead = this.#numberOf(last + this.#rowsOfSlice / 2);
    if (ords.length > 0 && ahead > this.#last) claimed.add(ahead);
    for (const n of claimed) this.#last = Math.max(this.#last, n);
    return [...claimed];
  }

  made(n: number, isNew: boolean): void {
    this.#last = Math.max(this.#last, n);
    this.#slices.set(n, { rows: 0, isCounted: isNew, hasAttachments: !isNew });
  }

  dropped(n: number): void {
    this.#slices.delete(n);
    this.#leftHasAttachments = true;
  }

  /** `n`: a slice, or `undefined` for the tables without one. */
  hasAttachments(n: number | undefined): boolean {
    return n === undefined ? this.#leftHasAttachments : this.#slices.get(n)?.hasAttachments ?? true;
  }

  attached(n: number | undefined): void {
    const slice = n === undefined ? undefined : this.#slices.get(n);
    if (slice) slice.hasAttachments = true;
    else this.#leftHasAttachments = true;
  }

  /** Adds to the number of tasks in the slice of `ord`. */
  add(ord: number, rows: number): void {
    const slice = this.#slices.get(this.#numberOf(ord));
    if (slice) slice.rows += rows;
  }

  /** Adds the tasks of earlier leads, by slice. */
  counted(rows: ReadonlyMap<number, number>): void {
    for (const [n, slice] of this.#slices) {
      if (slice.isCounted) continue;
      slice.rows += rows.get(n) ?? 0;
      slice.isCounted = true;
    }
  }

  /** The slices, the lowest first. */
  get all(): number[] {
    return [...this.#slices.keys()].sort((a, b) => a - b);
  }

  /** The lowest slice with at most `MAX_LEFT` tasks; never one of the last two. */
  get next(): number | undefined {
    return this.all.find((n) => {
      const { isCounted, rows } = this.#slices.get(n)!;
      return n < this.#last - 1 && isCounted && rows <= MAX_LEFT;
    });
  }

  /** The slice that a number belongs to. */
  #numberOf(ord: number): number {
    return Math.floor(ord / this.#rowsOfSlice);
  }
}
