/** `sd top`: a live screen of a server at work; in a pipe, or with `--once`, one snapshot as text. */

import { delay } from "@std/async/delay";
import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS, type ServerFlagValues, targetOf } from "../../cli/server_flags.ts";
import { print, stdoutColumns, stdoutIsTerminal } from "../../cli/talk.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { STATUSES } from "../../protocol/task.ts";
import { type Client, connect } from "../client.ts";
import { age, alignedTable, taskTable, withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";
import { type Snapshot, takeSnapshot } from "./top/snapshot.ts";
import { Terminal } from "./top/terminal.ts";
import { counted } from "./top/text.ts";
import { TopApp } from "./top/top_app.ts";

/** Time between the two snapshots that give a rate, in ms. */
const RATE_MS = 500;

export const top = defineCommand({
  name: "top",
  summary: "watch rates, queues, workers and tasks live, and act on them",
  flags: {
    ...CLIENT_FLAGS,
    interval: {
      type: "duration",
      value: "TIME",
      min: 100,
      max: 3_600_000,
      default: 1000,
      help: "time between two updates",
    },
    once: { type: "boolean", help: "print one snapshot and exit" },
  },
  examples: [
    ["sd top", "q quits, ? lists the keys"],
    ["sd top --once", "one snapshot as text; the default in a pipe"],
    ["sd top --json", "the same for programs"],
  ],
  notes: [
    "Keys: q quit, arrows or j k move, Enter shows a task, / filters by status, op or id, c cancels, r retries, " +
    "? help. After a lost connection it waits for the server and goes on.",
  ],
  async run({ flags }) {
    const isLive = !flags.once && !flags.json && Deno.stdin.isTerminal() && stdoutIsTerminal();
    if (isLive) return await live(flags, flags.interval);
    return await withClient({ flags }, (client) => once(client, flags));
  },
});

async function once(client: Client, { json }: { json: boolean }): Promise<ExitCode> {
  const before = await takeSnapshot(client, { choice: undefined, before: undefined });
  await delay(RATE_MS);
  const { stats, rates, tasks, failures } = await takeSnapshot(client, {
    choice: undefined,
    before,
  });
  if (json) printData({ server: client.target, ...stats, rates, running: tasks, failures });
  else {
    print(snapshotText(client.target, { stats, rates, tasks, failures }, stdoutColumns()));
  }
  return EXIT.ok;
}

async function live(flags: ServerFlagValues, intervalMs: number): Promise<ExitCode> {
  const app = new TopApp(intervalMs);
  // Connect first, so that a missing server is reported as by any other command.
  await using client = await connect(targetOf(flags), {
    reconnectMs: Infinity,
    onLost: (error) => app.connection(error),
    onBack: () => app.connection(undefined),
  });
  using terminal = new Terminal(app);
  return await app.run(client, terminal);
}

function snapshotText(
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
