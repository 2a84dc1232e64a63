/**
 * `echo {data}` → data: shows that a task arrives and its result comes back. Without `data`, a task that
 * came after others returns what they returned, by their ids.
 */

import type { TaskContext } from "./context.ts";

export function echo({ data }: Record<string, unknown>, ctx: TaskContext): unknown {
  if (data !== undefined) return data;
  const { after } = ctx;
  return Object.keys(after).length > 0 ? after : null;
}
