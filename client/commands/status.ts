/** `sd status`: the server, its workers and its numbers of tasks. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { type ServerStats, STATUSES } from "../../protocol/task.ts";
import { alignedTable, withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

export const status = defineCommand({
  name: "status",
  summary: "show the server, its workers and the number of tasks by status",
  flags: CLIENT_FLAGS,
  examples: [
    ["sd status", "two tables"],
    ["sd status --json", "the same as one line of JSON, for programs"],
  ],
  async run({ flags }) {
    return await withClient({ flags }, async (client) => {
      const stats = await client.stats();
      if (flags.json) printData({ server: client.target, ...stats });
      else print(statusTable(client.target, stats));
      return EXIT.ok;
    });
  },
});

function pausedText([first, ...more]: readonly string[]): string {
  if (first === "*") return "all ops; resume them with: sd resume --all";
  return [first, ...more].join(", ");
}

function statusTable(target: string, stats: ServerStats): string {
  const { workers, running, pools } = stats.workers;
  const server = [
    ["server", `${target} (sd ${stats.version}, pid ${stats.pid})`],
    ["uptime", formatDuration(stats.uptime_ms)],
    ["engine", stats.engine],
    ["workers", `${workers} in ${pools} ${pools === 1 ? "pool" : "pools"}, holding ${running}`],
    ...(stats.paused.length > 0 ? [["paused", pausedText(stats.paused)]] : []),
    ["connections", withCommas(stats.connections)],
    ["submitted", withCommas(stats.totals.submitted)],
    ["finished", withCommas(stats.totals.finished)],
  ];
  const counts = STATUSES.map((status) => [status, withCommas(stats.tasks[status])]);
  return `${alignedTable(server)}\n\n${alignedTable([["TASKS", ""], ...counts], [1])}`;
}
