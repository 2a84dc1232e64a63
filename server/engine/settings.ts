/**
 * The settings of an engine in memory: a map that writes each change through `keep` before it counts. Both engines use it;
 * the journaled engine's `keep` commits the change.
 */

import type { Settings, SettingWatcher } from "./engine.ts";

/** Commits the value of a setting; `undefined` removes it. Rejects if that fails, and then nothing has changed. */
type Keep = (name: string, value: string | undefined) => Promise<void>;

export class KeptSettings implements Settings {
  readonly #values: Map<string, string>;
  readonly #keep: Keep;
  /** The write under way of each name that has one. */
  readonly #writes = new Map<string, Promise<void>>();
  readonly #watchers = new Set<{ prefix: string; changed: SettingWatcher }>();

  constructor(
    values: Iterable<readonly [name: string, value: string]> = [],
    keep: Keep = () => Promise.resolve(),
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
    await this.#write(name, value, () => true);
  }

  replace(
    name: string,
    { expected, value }: { expected: string | undefined; value: string | undefined },
  ): Promise<boolean> {
    return this.#write(name, value, (current) => current === expected);
  }

  watch(prefix: string, changed: SettingWatcher): () => void {
    const watcher = { prefix, changed };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  /** Writes unless `isExpected` refuses the current value. Writes of one name follow each other. */
  async #write(
    name: string,
    value: string | undefined,
    isExpected: (current: string | undefined) => boolean,
  ): Promise<boolean> {
    for (let before = this.#writes.get(name); before; before = this.#writes.get(name)) await before;
    if (!isExpected(this.#values.get(name))) return false;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#writes.set(name, promise);
    try {
      await this.#keep(name, value);
      if (value === undefined) this.#values.delete(name);
      else this.#values.set(name, value);
    } finally {
      this.#writes.delete(name);
      resolve();
    }
    for (const { prefix, changed } of this.#watchers) {
      if (name.startsWith(prefix)) changed(name, value);
    }
    return true;
  }
}
