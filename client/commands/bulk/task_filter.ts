/** The flags that select tasks, the filter that they make, and the pages of tasks that the server lists for it. */

import type { FlagSpecs } from "../../../cli/flag_spec.ts";
import { ClientError } from "../../../net/client_error.ts";
import { parseDuration, parseRfc3339 } from "../../../protocol/text_forms.ts";
import { quote } from "../../../protocol/errors.ts";
import { MAX_LIST } from "../../../protocol/limits.ts";
import type { Status } from "../../../protocol/task.ts";
import type { Client, ListFilter, TaskPage } from "../../client.ts";

/** Beside `--status`, whose choices are those of the command. */
export const FILTER_FLAGS = {
  op: { type: "string", value: "OP", help: "only those of this op" },
  key: { type: "string", value: "KEY", help: "only those with this key" },
  since: {
    type: "string",
    value: "TIME",
    help: "only those submitted since; 1h is an hour ago, or a time like 2030-01-31T08:00:00Z",
  },
} as const satisfies FlagSpecs;

export interface FilterValues {
  status?: Status | undefined;
  op?: string | undefined;
  key?: string | undefined;
  since?: string | undefined;
}

/** What `list` of the wire takes for these flags. Throws `usage`. */
export function filterOf({ status, op, key, since }: FilterValues): ListFilter {
  return {
    ...(status === undefined ? {} : { status }),
    ...(op === undefined ? {} : { op }),
    ...(key === undefined ? {} : { key }),
    ...(since === undefined ? {} : { since: readSince(since) }),
  };
}

/** Milliseconds before the server's now, so that its clock counts; or a time, in the zone of this machine where it names none. */
function readSince(text: string): number | string {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return parseDuration(text);
  if (!Number.isNaN(parseRfc3339(text))) return text;
  const time = localTime(text);
  if (time) return time.toISOString();
  throw new ClientError(
    "usage",
    `--since takes a time ago, like 30m or 2d, or a time, like 2030-01-31; this is ${quote(text)}`,
  );
}

/** `2030-01-31` or `2030-01-31 08:00` in the zone of this machine; `undefined` where there is no such time, as in a gap of summer time. */
function localTime(text: string): Date | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?$/.exec(text);
  if (!match) return undefined;
  const [, date = "", minute = "00:00", second = ":00"] = match;
  if (Number.isNaN(parseRfc3339(`${date}T${minute}${second}Z`))) return undefined;
  const time = new Date(`${date}T${minute}${second}`);
  const isMidnight = match[2] === undefined;
  const [hours, minutes] = minute.split(":").map(Number);
  // In some zones a day begins at 01:00 once a year.
  const isThere = isMidnight || time.getHours() === hours && time.getMinutes() === minutes;
  return isThere ? time : undefined;
}

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
