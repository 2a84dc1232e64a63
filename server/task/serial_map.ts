/**
 * A map from numbers that are given out in order: serial numbers of tasks, leases. Values lie in pages of
 * neighbouring numbers. A `Map` would do, but one whose entries come and go all the time is rebuilt all
 * the time, and each dead table keeps what it held alive until the next full collection: measured, a
 * third of all that the server allocated outlived its use by that.
 */

const PAGE_BITS = 6;
const PAGE_SLOTS = 2 ** PAGE_BITS;

interface Page<Value> {
  readonly slots: (Value | undefined)[];
  used: number;
}

export class SerialMap<Value> {
  readonly #pages = new Map<number, Page<Value>>();
  #size = 0;
  /** The page used last: neighbours come together. */
  #lastNumber = -1;
  #lastPage: Page<Value> | undefined = undefined;

  get size(): number {
    return this.#size;
  }

  get(serial: number): Value | undefined {
    return this.#page(serial)?.slots[serial % PAGE_SLOTS];
  }

  has(serial: number): boolean {
    return this.get(serial) !== undefined;
  }

  set(serial: number, value: Value): void {
    const page = this.#page(serial) ?? this.#newPage(serial);
    const slot = serial % PAGE_SLOTS;
    if (page.slots[slot] === undefined) {
      page.used++;
      this.#size++;
    }
    page.slots[slot] = value;
  }

  /** Takes out and answers the value. */
  take(serial: number): Value | undefined {
    const page = this.#page(serial);
    const slot = serial % PAGE_SLOTS;
    const value = page?.slots[slot];
    if (!page || value === undefined) return undefined;
    page.slots[slot] = undefined;
    this.#size--;
    if (--page.used === 0) this.#dropPage(serial);
    return value;
  }

  clear(): void {
    this.#pages.clear();
    this.#size = 0;
    this.#lastNumber = -1;
    this.#lastPage = undefined;
  }

  /** Every number and its value, in no order that could be relied on. */
  *entries(): Generator<[number, Value]> {
    for (const [number, { slots }] of this.#pages) {
      for (let slot = 0; slot < PAGE_SLOTS; slot++) {
        const value = slots[slot];
        if (value !== undefined) yield [number * PAGE_SLOTS + slot, value];
      }
    }
  }

  #page(serial: number): Page<Value> | undefined {
    const number = Math.floor(serial / PAGE_SLOTS);
    if (number === this.#lastNumber) return this.#lastPage;
    const page = this.#pages.get(number);
    if (page) {
      this.#lastNumber = number;
      this.#lastPage = page;
    }
    return page;
  }

  #newPage(serial: number): Page<Value> {
    const number = Math.floor(serial / PAGE_SLOTS);
    const page: Page<Value> = { slots: new Array(PAGE_SLOTS).fill(undefined), used: 0 };
    this.#pages.set(number, page);
    this.#lastNumber = number;
    this.#lastPage = page;
    return page;
  }

  #dropPage(serial: number): void {
    this.#pages.delete(Math.floor(serial / PAGE_SLOTS));
    this.#lastNumber = -1;
    this.#lastPage = undefined;
  }
}
