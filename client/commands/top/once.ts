/** One look at the server, as text for a pipe or a file. */

import { formatDuration } from "../../../protocol/text_forms.ts";
import { STATUSES } from "../../../protocol/task.ts";
import { alignedTable, withCommas } from "../base/table.ts";
import { age, taskTable } from "../base/task_table.ts";
import { counted } from "./text.ts";
import type { Snapshot } from "./snapshot.ts";

export function snapshotText(
  server: string,
  { stats, rates, tasks, failures }: Snapshot,
  columns: number | undefined,
): string {
  const now = Date.parse(stats.now);
  const { workers, pools } = stats.workers;
  const facts = [
    ["server", `${server} (sd ${stats.version}, ${stats.engine})`],
    ["uptime", formatDuration(stats.uptime_ms)],
    ...(rates
      ? [
        ["in", `${withCommas(Math.round(rates.submitted))}/s`],
        ["out", `${withCommas(Math.round(rates.finished))}/s`],
      ]
      : []),
    ...STATUSES.map((status) => [status, withCommas(stats.tasks[status])]),
    ["workers", `${workers} in ${counted(pools, "pool")}`],
    ...stats.pools.map(({ pid, workers, held, ops }) => [
      `pool ${pid}`,
      `${counted(workers, "worker")}, ` +
      (held === 0 ? "idle" : ops.map(({ op, held }) => `${op} ${withCommas(held)}`).join(", ")),
    ]),
    ...(stats.paused.length > 0 ? [["paused", stats.paused.join(", ")]] : []),
  ];
  const ops = stats.ops.map(({ op, queued, running, waiting_since }) => [
    op,
    withCommas(queued),
    withCommas(running),
    waiting_since === undefined ? "" : age(waiting_since, now),
  ]);
  const sections = [
    alignedTable(facts, [], columns),
    ...(ops.length > 0
      ? [alignedTable([["OP", "QUEUED", "RUNNING", "OLDEST"], ...ops], [1, 2, 3], columns)]
      : []),
    ...(tasks.length > 0 ? [`RUNNING\n${taskTable(tasks, { columns, now })}`] : []),
    ...(failures.length > 0 ? [`FAILED LATELY\n${taskTable(failures, { columns, now })}`] : []),
  ];
  return sections.join("\n\n");
}
