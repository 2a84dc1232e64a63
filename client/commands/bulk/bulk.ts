/**
 * Retries or cancels all tasks of a filter: shows them first, asks on a terminal, and sends the ids in batches.
 * Memory holds at most the ids that the question is about.
 */

import { ClientError } from "../../../net/client_error.ts";
import type { FlagSpecs } from "../../../cli/flag_spec.ts";
import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { printData } from "../../../cli/report.ts";
import type { ServerFlagValues } from "../../../cli/server_flags.ts";
import { print, say } from "../../../cli/talk.ts";
import type { TaskView } from "../../../protocol/task.ts";
import { askYes, canAsk } from "../input/task_lines.ts";
import { BulkRun, type BulkVerb } from "./bulk_run.ts";
import type { Client, ListFilter } from "../../client.ts";
import { talk } from "../base/output.ts";
import { taskTable, withCommas } from "../base/table.ts";
import { FILTER_FLAGS, filterOf, type FilterValues, taskPages } from "./task_filter.ts";
import { withClient } from "../base/with_client.ts";

/** Most tasks shown before the question. */
const MAX_SHOWN = 5;
/** Most tasks of one question. To reach the others, run the command again. */
const MAX_ASKED = 1_000_000;

/** Flags beside `--status`, whose choices depend on the command. */
export const BULK_FLAGS = {
  ...FILTER_FLAGS,
  dryRun: { type: "boolean", help: "show the tasks of the filter, and change nothing" },
  yes: { type: "boolean", short: "y", help: "do not ask" },
} as const satisfies FlagSpecs;

type BulkFlags = ServerFlagValues & FilterValues & {
  json: boolean;
  dryRun: boolean;
  yes: boolean;
};

/** Whether a filter selects the tasks, and not `ids`. Throws `usage` for both and for neither. */
export function isByFilter(
  { name, ids, flags }: { name: string; ids: readonly string[]; flags: BulkFlags },
): boolean {
  const hasFilter = Object.keys(filterOf(flags)).length > 0;
  if (ids.length === 0 && hasFilter) return true;
  if (ids.length === 0) {
    throw new ClientError("usage", `sd ${name} needs ids or a filter`, {
      hint: `for example: sd ${name} --op resize --since 1h --dry-run`,
    });
  }
  if (!hasFilter && !flags.dryRun) return false;
  throw new ClientError("usage", "ids and a filter exclude each other", {
    hint: `--status, --op, --key, --since and --dry-run go without ids; see: sd ${name} --help`,
  });
}

/** Changes the tasks of `filters`, one filter after the other. */
export async function bulk(
  { verb, flags, filters }: { verb: BulkVerb; flags: BulkFlags; filters: readonly ListFilter[] },
): Promise<ExitCode> {
  return await withClient({ flags }, async (client) => {
    const run = new BulkRun(client, verb);
    if (flags.yes && !flags.dryRun) return await run.all(idPages(client, filters), flags);
    const found = await look(client, filters);
    if (flags.dryRun && flags.json) {
      printData({ dry_run: true, matched: found.count, tasks: found.first });
      return EXIT.ok;
    }
    if (found.count === 0) return await run.all([], flags);
    const what = `${withCommas(found.count)} ${found.count === 1 ? "task" : "tasks"}`;
    if (!flags.json) show(found, flags.dryRun ? print : say);
    if (flags.dryRun) {
      talk(`${what} would be ${verb.done}`);
      return EXIT.ok;
    }
    if (flags.json || !canAsk()) {
      throw new ClientError(
        "usage",
        `${what} would be ${verb.done}, and sd cannot ask without a terminal`,
        {
          hint: "add --yes to go on, or --dry-run to see the tasks",
        },
      );
    }
    if (await askYes(`${verb.name} ${what}?`)) return await run.all(found.pages, flags);
    talk("nothing was changed");
    return EXIT.ok;
  });
}

interface Found {
  count: number;
  first: TaskView[];
  /** The ids of all of them. */
  pages: string[][];
}

async function look(client: Client, filters: readonly ListFilter[]): Promise<Found> {
  const found: Found = { count: 0, first: [], pages: [] };
  for await (const tasks of pagesOf(client, filters)) {
    found.first.push(...tasks.slice(0, MAX_SHOWN - found.first.length));
    found.count += tasks.length;
    found.pages.push(tasks.map(({ task_id }) => task_id));
    if (found.count >= MAX_ASKED) break;
  }
  return found;
}

function show({ count, first }: Found, write: (text: string) => void): void {
  write(taskTable(first, { columns: undefined, now: Date.now() }));
  if (count > first.length) write(`… and ${withCommas(count - first.length)} more`);
}

async function* idPages(
  client: Client,
  filters: readonly ListFilter[],
): AsyncGenerator<string[]> {
  for await (const tasks of pagesOf(client, filters)) yield tasks.map(({ task_id }) => task_id);
}

/** Pages of the tasks that exist now. Tasks that are submitted meanwhile are left out. */
async function* pagesOf(
  client: Client,
  filters: readonly ListFilter[],
): AsyncGenerator<TaskView[]> {
  for (const filter of filters) {
    const newest = await newestOf(client, filter);
    if (newest === undefined) continue;
    for await (const { tasks } of taskPages(client, filter)) {
      const there = tasks.filter(({ created_at }) => created_at <= newest);
      if (there.length > 0) yield there;
      else if (tasks.length > 0 && filter.order === "oldest") break;
    }
  }
}

/** The time of the newest task; `undefined` if there is none. */
async function newestOf(client: Client, filter: ListFilter): Promise<string | undefined> {
  for await (const { tasks: [newest] } of taskPages(client, { ...filter, order: "newest" }, 1)) {
    if (newest) return newest.created_at;
  }
  return undefined;
}
