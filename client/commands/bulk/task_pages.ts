/** Lists of any length: page after page, each asked for when the one before is done with. */

import { MAX_LIST } from "../../../protocol/limits.ts";
import type { Client, ListFilter, TaskPage } from "../../client.ts";

/** The first `limit` tasks of `filter`, from its cursor on. Pages may be empty. */
export async function* taskPages(
  client: Client,
  filter: ListFilter,
  limit = Infinity,
): AsyncGenerator<TaskPage> {
  let cursor = filter.cursor ?? null;
  let left = limit;
  do {
    const place = cursor === null ? {} : { cursor };
    const page = await client.list({ ...filter, ...place, limit: Math.min(MAX_LIST, left) });
    yield page;
    cursor = page.cursor;
    left -= page.tasks.length;
  } while (cursor !== null && left > 0);
}
