/** `sd ls`: the tasks that the server holds. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/duration.ts";
import { STATUSES, type TaskView } from "../../protocol/task.ts";
import type { Client, ListFilter, TaskPage } from "../client.ts";
import { talk } from "../output.ts";
import { alignedTable } from "../table.ts";
import { withClient } from "../with_client.ts";

/** Asked for at a time: every task brings its result along, which may be a megabyte. */
const PAGE = 50;
const MAX_SHOWN = 10_000;
const HEADINGS = ["ID", "OP", "STATUS", "ATTEMPT", "CREATED", "TOOK", "KEY", "ERROR"];
/** Shown only where a task has one. */
const KEY_AT = HEADINGS.indexOf("KEY");

export const ls = defineCommand({
  name: "ls",
  summary: "list tasks",
  flags: {
    ...CLIENT_FLAGS,
    status: { type: "string", value: "STATUS", choices: STATUSES, help: "only those in it" },
    op: { type: "string", value: "OP", help: "only those of this op" },
    limit: {
      type: "integer",
      value: "N",
      min: 1,
      max: MAX_SHOWN,
      default: PAGE,
      help: "show so many at most",
    },
    cursor: { type: "string", value: "CURSOR", help: "go on where the list before this one ended" },
  },
  examples: [
    ["sd ls --status failed", "what went wrong, and why"],
    ["sd ls --op resize --limit 1000 --json", "for programs"],
  ],
  async run({ flags }) {
    const { server: _server, json, limit, ...rest } = flags;
    const filter: ListFilter = {};
    if (rest.status !== undefined) filter.status = rest.status;
    if (rest.op !== undefined) filter.op = rest.op;
    if (rest.cursor !== undefined) filter.cursor = rest.cursor;
    return await withClient({ flags }, async (client) => {
      const pages = pagesOf(client, { filter, limit });
      await (json ? printPages(pages) : showPages(pages));
      return EXIT.ok;
    });
  },
});

/** The first `limit` tasks. */
async function* pagesOf(
  client: Client,
  { filter, limit }: { filter: ListFilter; limit: number },
): AsyncGenerator<TaskPage> {
  let cursor = filter.cursor ?? null;
  let left = limit;
  do {
    const place = cursor === null ? {} : { cursor };
    const page = await client.list({ ...filter, ...place, limit: Math.min(PAGE, left) });
    yield page;
    cursor = page.cursor;
    left -= page.tasks.length;
  } while (cursor !== null && left > 0);
}

async function printPages(pages: AsyncIterable<TaskPage>): Promise<void> {
  const all: TaskPage = { tasks: [], cursor: null };
  for await (const { tasks, cursor } of pages) {
    all.tasks.push(...tasks);
    all.cursor = cursor;
  }
  printData(all);
}

async function showPages(pages: AsyncIterable<TaskPage>): Promise<void> {
  const rows: string[][] = [];
  let next: string | null = null;
  for await (const { tasks, cursor } of pages) {
    rows.push(...tasks.map(rowOf));
    next = cursor;
  }
  if (rows.length === 0) talk("no such tasks");
  else print(alignedTable(withoutEmptyKeys([HEADINGS, ...rows]), [3, 5]));
  if (next !== null) talk(`there are more: sd ls --cursor ${next}`);
}

function rowOf(task: TaskView): string[] {
  return [
    task.task_id,
    task.op,
    task.status,
    `${task.attempt}/${task.attempts}`,
    task.created_at,
    tookText(task),
    task.key ?? "",
    errorText(task),
  ];
}

function withoutEmptyKeys([headings = [], ...rows]: string[][]): string[][] {
  const hasKeys = rows.some((row) => row[KEY_AT] !== "");
  return [headings, ...rows].map((row) => row.filter((_cell, i) => hasKeys || i !== KEY_AT));
}

function tookText({ started_at, finished_at }: TaskView): string {
  if (started_at === undefined || finished_at === undefined) return "";
  return formatDuration(Date.parse(finished_at) - Date.parse(started_at));
}

function errorText({ error }: TaskView): string {
  if (!error) return "";
  const text = `${error.code}: ${error.message}`;
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`;
}
