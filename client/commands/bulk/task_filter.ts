/** The flags that select tasks, the filter that they make, and the pages of tasks that the server lists for it. */

import type { FlagSpecs } from "../../../cli/flag_spec.ts";
import { ClientError } from "../../../net/client_error.ts";
import { parseDuration, parseRfc3339 } from "../../../protocol/text_forms.ts";
import { quote } from "../../../protocol/errors.ts";
import { COMMANDS } from "../../../protocol/operations.ts";
import type { Status } from "../../../protocol/task.ts";
import type { Client, ListFilter, TaskPage } from "../../client.ts";

/** Arguments of the operation `list`, which the flags are for. */
const LIST = COMMANDS.list.takes;

/** Flags beside `--status`, whose choices depend on the command. */
export const FILTER_FLAGS = {
  op: { type: "string", value: "OP", help: LIST.op.about },
  key: { type: "string", value: "KEY", help: LIST.key.about },
  since: {
    type: "string",
    value: "TIME",
    help: "only tasks submitted since: 1h for an hour ago, or a time like 2030-01-31T08:00:00Z",
  },
} as const satisfies FlagSpecs;

export interface FilterValues {
  status?: Status | undefined;
  op?: string | undefined;
  key?: string | undefined;
  since?: string | undefined;
}

/** The filter of these flags. Throws `usage`. */
export function filterOf({ status, op, key, since }: FilterValues): ListFilter {
  return {
    ...(status === undefined ? {} : { status }),
    ...(op === undefined ? {} : { op }),
    ...(key === undefined ? {} : { key }),
    ...(since === undefined ? {} : { since: readSince(since) }),
  };
}

/** Milliseconds before now by the server's clock, or a time; a time without a zone is in the zone of this machine. */
function readSince(text: string): number | string {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return parseDuration(text);
  if (!Number.isNaN(parseRfc3339(text))) return text;
  const time = localTime(text);
  if (time) return time.toISOString();
  throw new ClientError(
    "usage",
    `--since takes an age like 30m or 2d, or a time like 2030-01-31; this is ${quote(text)}`,
  );
}

/** `2030-01-31` or `2030-01-31 08:00` in the zone of this machine; `undefined` if the time does not exist, as in the gap of summer time. */
function localTime(text: string): Date | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?)?$/.exec(text);
  if (!match) return undefined;
  const [, date = "", minute = "00:00", second = ":00"] = match;
  if (Number.isNaN(parseRfc3339(`${date}T${minute}${second}Z`))) return undefined;
  const time = new Date(`${date}T${minute}${second}`);
  const isMidnight = match[2] === undefined;
  const [hours, minutes] = minute.split(":").map(Number);
  // In some zones a day can begin at 01:00, in the gap of summer time.
  const isThere = isMidnight || time.getHours() === hours && time.getMinutes() === minutes;
  return isThere ? time : undefined;
}

/** The first `limit` tasks of `filter` from its cursor on, page after page. Pages can be empty. */
export async function* taskPages(
  client: Client,
  filter: ListFilter,
  limit = Infinity,
): AsyncGenerator<TaskPage> {
  let cursor = filter.cursor ?? null;
  let left = limit;
  do {
    const place = cursor === null ? {} : { cursor };
    const page = await client.list({ ...filter, ...place, limit: Math.min(LIST.limit.max, left) });
    yield page;
    cursor = page.cursor;
    left -= page.tasks.length;
  } while (cursor !== null && left > 0);
}
