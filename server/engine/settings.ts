/** The settings of an engine, as they are in memory; an engine that outlives its process keeps them too. */

import type { Settings } from "./engine.ts";

export class KeptSettings implements Settings {
  readonly #values: Map<string, string>;
  readonly #keep: (name: string, value: string | undefined) => Promise<void>;

  /** `keep` makes one safe. */
  constructor(
    values: Iterable<readonly [name: string, value: string]> = [],
    keep: (name: string, value: string | undefined) => Promise<void> = () => Promise.resolve(),
  ) {
    this.#values = new Map(values);
    this.#keep = keep;
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  list(prefix: string): [string, string][] {
    return [...this.#values].filter(([name]) => name.startsWith(prefix));
  }

  async save(name: string, value: string | undefined): Promise<void> {
    await this.#keep(name, value);
    if (value === undefined) this.#values.delete(name);
    else this.#values.set(name, value);
  }
}
