/**
 * A map from numbers that are given out in order: serial numbers of tasks, leases. Values lie in pages of
 * neighbouring numbers. A `Map` whose entries come and go all the time is rebuilt again and again. Each dead
 * table keeps its values alive until the next full collection: by measurement, a third of all that the server
 * allocated outlived its use.
 */

const PAGE_BITS = 6;
const PAGE_SLOTS = 2 ** PAGE_BITS;
/** Numbers of removed pages that the order may hold beside as many numbers as there are pages, twice. */
const SPARE_NUMBERS = 64;

interface Page<Value> {
  readonly slots: (Value | undefined)[];
  used: number;
}

export class SerialMap<Value> {
  readonly #pages = new Map<number, Page<Value>>();
  #size = 0;
  /** Numbers of pages in their order, some of them of pages that are gone; `undefined` until it is asked for. */
  #order: number[] | undefined = undefined;
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
    this.#order = undefined;
    this.#size = 0;
    this.#lastNumber = -1;
    this.#lastPage = undefined;
  }

  /** Values from the number after `from` upwards, or from the one before it downwards; takes the way to the first in steps. */
  *inOrder(from: number, { down }: { readonly down: boolean }): Generator<Value> {
    const order = this.#pagesInOrder();
    const step = down ? -1 : 1;
    let at = placeOf(order, Math.floor(from / PAGE_SLOTS));
    if (down && at === order.length) at--;
    for (; at >= 0 && at < order.length; at += step) {
      const number = order[at] as number;
      const slots = this.#pages.get(number)?.slots;
      if (!slots) continue;
      for (let n = 0; n < PAGE_SLOTS; n++) {
        const slot = down ? PAGE_SLOTS - 1 - n : n;
        const value = slots[slot];
        if (value === undefined || (number * PAGE_SLOTS + slot - from) * step <= 0) continue;
        yield value;
      }
    }
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
    const order = this.#order;
    if (!order) return page;
    const isFull = order.length > 2 * this.#pages.size + SPARE_NUMBERS;
    if (!isFull && number > (order.at(-1) ?? -1)) order.push(number);
    else this.#order = undefined;
    return page;
  }

  #pagesInOrder(): readonly number[] {
    // Removed entries must not be passed over again and again.
    if (this.#order && this.#order.length <= 2 * this.#pages.size + 1) return this.#order;
    return this.#order = [...this.#pages.keys()].sort((a, b) => a - b);
  }

  #dropPage(serial: number): void {
    this.#pages.delete(Math.floor(serial / PAGE_SLOTS));
    this.#lastNumber = -1;
    this.#lastPage = undefined;
  }
}

/** The place of the first of `numbers`, which are in their order, that is `number` or more. */
function placeOf(numbers: readonly number[], number: number): number {
  let [low, high] = [0, numbers.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((numbers[middle] as number) < number) low = middle + 1;
    else high = middle;
  }
  return low;
}
