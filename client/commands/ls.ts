/** `sd ls`: lists the tasks of the server. */

import { ClientError } from "../../net/client_error.ts";
import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { print, stdoutColumns } from "../../cli/talk.ts";
import { COMMANDS } from "../../protocol/operations.ts";
import type { TaskView } from "../../protocol/task.ts";
import type { TaskPage } from "../client.ts";
import { talk, withLines } from "./base/output.ts";
import { taskTable, withCommas } from "./base/table.ts";
import { FILTER_FLAGS, filterOf, taskPages } from "./bulk/task_filter.ts";
import { withClient } from "./base/with_client.ts";

/** Arguments of the operation that answers this command. */
const LIST = COMMANDS.list.takes;
const DEFAULT_SHOWN = 50;
/** Most tasks in a table, which is held in memory to align its columns. Lines of JSON are not held. */
const MAX_TABLE = 10_000;
const MAX_LINES = 1_000_000_000;

export const ls = defineCommand({
  name: "ls",
  summary: "list tasks",
  flags: {
    ...CLIENT_FLAGS,
    status: {
      type: "string",
      value: "STATUS",
      choices: LIST.status.of,
      help: LIST.status.about,
    },
    ...FILTER_FLAGS,
    sort: {
      type: "string",
      value: "ORDER",
      choices: LIST.order.of,
      default: "newest",
      help: "order by time of submit",
    },
    limit: {
      type: "integer",
      short: "n",
      value: "N",
      min: 1,
      max: MAX_LINES,
      default: DEFAULT_SHOWN,
      help: "most tasks to list",
    },
    cursor: { type: "string", value: "CURSOR", help: "continue an earlier list" },
  },
  examples: [
    ["sd ls --status failed --since 1h", "failed tasks of the last hour, with their errors"],
    ["sd ls --op resize --sort oldest -n 5", "the five oldest"],
    ["sd ls --key customer-7 -n 100000 --json", "for programs: one task a line"],
  ],
  notes: [
    "On a terminal lines are cut at its edge; in a pipe they are whole. With --json each task is a line of JSON, " +
    'and an error is a line {"ok":false,"error":…}.',
  ],
  async run({ flags }) {
    const { json, limit, cursor, sort: order } = flags;
    if (!json && limit > MAX_TABLE) {
      throw new ClientError("usage", `a table has at most ${withCommas(MAX_TABLE)} tasks`, {
        hint: "for more, one a line, add --json",
      });
    }
    const filter = { ...filterOf(flags), order, ...(cursor === undefined ? {} : { cursor }) };
    return await withClient({ flags }, async (client) => {
      const pages = taskPages(client, filter, limit);
      const next = json ? await printLines(pages) : await showTable(pages, flags);
      if (next !== null) talk(`there are more; continue with --cursor ${next}`);
      return EXIT.ok;
    });
  },
});

/** Returns the cursor of the next list; `null` at the end. */
async function printLines(pages: AsyncIterable<TaskPage>): Promise<string | null> {
  return await withLines(async (lines) => {
    let next: string | null = null;
    for await (const { tasks, cursor } of pages) {
      for (const task of tasks) lines.add(JSON.stringify(task));
      next = cursor;
    }
    return next;
  });
}

async function showTable(
  pages: AsyncIterable<TaskPage>,
  { status, op }: { status: string | undefined; op: string | undefined },
): Promise<string | null> {
  const all: TaskView[] = [];
  let next: string | null = null;
  for await (const { tasks, cursor } of pages) {
    all.push(...tasks);
    next = cursor;
  }
  if (all.length === 0) talk("no such tasks");
  else {
    const without = [
      ...(status === undefined ? [] : ["STATUS" as const]),
      ...(op === undefined ? [] : ["OP" as const]),
    ];
    print(taskTable(all, { columns: stdoutColumns(), now: Date.now(), without }));
  }
  return next;
}
