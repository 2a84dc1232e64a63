/** Reads everything that a server keeps, by `list` and `get`: what the oracle holds against the accounts. */

import { delay } from "@std/async/delay";
import type { ServerStats, TaskView } from "../../protocol/task.ts";
import { RawClient } from "../kit/raw_client.ts";

/** Questions on their way at a time. */
const DEPTH = 500;
const PAGE = 1000;

type Address = { hostname: string; port: number };

/** Resolves once every task is final, or after `patienceMs`: the oracle sees what is not. */
export async function drained(address: Address, patienceMs: number): Promise<void> {
  using client = await RawClient.connect(address);
  const giveUpAt = Date.now() + patienceMs;
  for (;;) {
    const { tasks } = await client.ask({ cmd: "stats" }) as ServerStats;
    if (tasks.queued + tasks.delayed + tasks.running === 0 || Date.now() > giveUpAt) return;
    await delay(50);
  }
}

/** Every id, newest first. */
export async function listIds(address: Address): Promise<string[]> {
  using client = await RawClient.connect(address);
  const ids: string[] = [];
  for (let cursor: string | null = null;;) {
    const page: { tasks: TaskView[]; cursor: string | null; error?: unknown } = await client.ask({
      cmd: "list",
      limit: PAGE,
      cursor,
    });
    if (page.error) throw new Error(`list answers ${JSON.stringify(page.error)}`);
    ids.push(...page.tasks.map(({ task_id }) => task_id));
    cursor = page.cursor;
    if (cursor === null) return ids;
  }
}

/** The answers of `get` in the order of the ids; `undefined` for an unknown id. */
export async function getAll(
  address: Address,
  ids: readonly string[],
): Promise<(TaskView | undefined)[]> {
  using client = await RawClient.connect(address);
  const views: (TaskView | undefined)[] = [];
  for (let at = 0; at < ids.length; at += DEPTH) {
    const some = ids.slice(at, at + DEPTH);
    await client.sendObjects(...some.map((task_id, i) => ({ cmd: "get", task_id, ref: at + i })));
    for (let i = 0; i < some.length; i++) {
      const view = await client.object();
      const isThere = view.status !== undefined;
      if (!isThere && view.error?.code !== "not_found") {
        throw new Error(`get answers ${JSON.stringify(view)}`);
      }
      views[view.ref] = isThere ? view : undefined;
    }
  }
  return views;
}
