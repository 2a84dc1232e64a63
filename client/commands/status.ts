/** `sd status`: the server, its workers and its numbers of tasks. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { type ServerStats, STATUSES } from "../../protocol/task.ts";
import { age, alignedTable, withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";

/** Most worker processes in the table. */
const MAX_POOLS = 20;

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

/** The tables of `sd status`, for the server `target`. */
export function statusTable(target: string, stats: ServerStats): string {
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
  const tables = [alignedTable(server), ...clusterTables(stats)];
  const counts = STATUSES.map((status) => [status, withCommas(stats.tasks[status])]);
  return [...tables, alignedTable([["TASKS", ""], ...counts], [1])].join("\n\n");
}

/** The servers and the worker processes, if there are several servers or several machines. */
function clusterTables({ servers, pools, now }: ServerStats): string[] {
  const machines = new Set(pools.map(({ machine }) => machine));
  if (!servers && machines.size < 2) return [];
  const rows = (servers ?? []).map((
    { name, role, draining, address, machine, version, pid, started_at },
  ) => [
    name,
    draining ? `${role}, stopping` : role,
    address,
    machine,
    version,
    String(pid),
    age(started_at, Date.parse(now)),
  ]);
  const shown = pools.slice(0, MAX_POOLS).map(({ machine, pid, workers, held }) => [
    machine ?? "",
    String(pid),
    withCommas(workers),
    withCommas(held),
  ]);
  const more = pools.length - shown.length;
  return [
    ...(servers
      ? [
        alignedTable([["SERVER", "ROLE", "ADDRESS", "MACHINE", "SD", "PID", "UP"], ...rows], [
          5,
          6,
        ]),
      ]
      : []),
    ...(shown.length > 0
      ? [alignedTable([["POOL ON", "PID", "WORKERS", "HOLDS"], ...shown], [1, 2, 3])]
      : []),
    ...(more > 0 ? [`and ${withCommas(more)} more pools`] : []),
  ];
}
