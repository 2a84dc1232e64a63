/**
 * Compares tasks that wait on disk with what the pager knows of them, the oldest first, and brings those into memory
 * that no page would find. There are none unless sd has a fault. A look reads a bounded part; the next goes on from
 * there. Requests are answered in the order in which they were sent, so a row that no task in memory stands for is
 * as it is on disk.
 */

import type { Rechecked } from "../engine.ts";
import type { LiveTasks } from "../live/live_tasks.ts";
import { type ReadTurns, SERVER } from "../live/read_turns.ts";
import { repairQueue } from "../live/wait_reason.ts";
import type { Pager } from "./pager.ts";
import { codeOf } from "./rows.ts";
import type { TaskStore } from "./task_store.ts";

/** Pages of one look, and tasks of a page. */
const PAGES = 5;
const PAGE = { limit: 1000, maxChars: 8 * 1024 * 1024 };
/** Queued and delayed tasks of any op and key. */
const WAITING = {
  oldestFirst: true,
  statuses: [codeOf("queued"), codeOf("delayed")],
  op: null,
  key: null,
  createdSince: 0,
  ...PAGE,
};

export class Recheck {
  /** Where the next look goes on. */
  #ord = 0;

  constructor(
    readonly store: Pick<TaskStore, "call">,
    readonly pager: Pick<Pager, "isLost" | "bring" | "state">,
    readonly live: LiveTasks,
    readonly turns: ReadTurns,
  ) {}

  /** Also puts right the queue in memory, as it is for `ops`; if the engine `isStuck`, it leases nothing. */
  async look(ops: ReadonlySet<string>, isStuck: boolean, now: number): Promise<Rechecked> {
    const { pager, live } = this;
    const knew = pager.state;
    const lost = await this.#lookOnDisk();
    const { found, startable } = await this.turns.run(SERVER, repairQueue(live, ops, now));
    return { found: lost + found, startable: isStuck ? 0 : startable, knew };
  }

  /** Resolves with how many tasks it brought into memory. */
  async #lookOnDisk(): Promise<number> {
    const { store, pager } = this;
    let found = 0;
    for (let page = 0; page < PAGES; page++) {
      const { tasks, next } = await store.call("list", { ...WAITING, ord: this.#ord });
      for (const row of tasks) {
        if (!pager.isLost(row)) continue;
        pager.bring(row);
        found++;
      }
      this.#ord = next ?? 0;
      if (next === null) break;
    }
    return found;
  }
}
