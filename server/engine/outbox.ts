/**
 * The outbox of an engine: ends of tasks that came with a route, kept until they are published there. An end is put into it
 * in the commit that makes it final, so none is lost. A program that publishes reads rows, publishes them, and marks them
 * done; after a crash in between it publishes them again.
 */

import { type FinishedTask, openEnd } from "../task/task_events.ts";

/** An end that waits to be published. `route` says where, `body` is the line of the end. */
export interface OutboxRow {
  /** Higher than that of every row before it; never used twice. */
  readonly n: number;
  readonly route: string;
  readonly body: string;
}

export interface EndOutbox {
  /** Rows after number `after`, in their order, at most `limit`; fewer if they are long. No rows: there are no more. */
  read(after: number, limit: number): Promise<OutboxRow[]>;
  /** Drops rows that are published; resolves once that is committed. Rejects if it could not be: call it again. */
  done(ns: readonly number[]): Promise<void>;
  /** Calls `changed` after each commit that added rows, until the returned function is called. */
  watch(changed: () => void): () => void;
}

/** The rows for the ends among `ended` that have a route. */
export function routedEnds(
  ended: readonly FinishedTask[],
): (readonly [route: string, body: string])[] {
  const rows: (readonly [string, string])[] = [];
  for (const task of ended) {
    if (task.route !== undefined) rows.push([task.route, `${openEnd(task)}}`]);
  }
  return rows;
}

/** Functions to call after each change. */
export class OutboxWatchers {
  readonly #watchers = new Set<{ readonly changed: () => void }>();

  watch(changed: () => void): () => void {
    const watcher = { changed };
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  call(): void {
    for (const { changed } of this.#watchers) changed();
  }
}

/** An outbox in memory alone. */
export class MemoryOutbox implements EndOutbox {
  readonly #watchers = new OutboxWatchers();
  readonly #rows = new Map<number, OutboxRow>();
  #last = 0;

  add(ended: readonly FinishedTask[]): void {
    const rows = routedEnds(ended);
    if (rows.length === 0) return;
    for (const [route, body] of rows) this.#rows.set(++this.#last, { n: this.#last, route, body });
    this.#watchers.call();
  }

  read(after: number, limit: number): Promise<OutboxRow[]> {
    const rows: OutboxRow[] = [];
    // Rows are in the order of their numbers; those before `after` are on their way out.
    for (const row of this.#rows.values()) {
      if (row.n <= after) continue;
      if (rows.push(row) >= limit) break;
    }
    return Promise.resolve(rows);
  }

  done(ns: readonly number[]): Promise<void> {
    for (const n of ns) this.#rows.delete(n);
    return Promise.resolve();
  }

  watch(changed: () => void): () => void {
    return this.#watchers.watch(changed);
  }
}
