/** `sd top`: a server as it works, on a live screen; where nobody looks at one, as it is once. */

import { delay } from "@std/async/delay";
import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS, type ServerFlagValues, targetOf } from "../../cli/server_flags.ts";
import { print, stdoutColumns, stdoutIsTerminal } from "../../cli/talk.ts";
import { type Client, connect } from "../client.ts";
import { snapshotText } from "./top/once.ts";
import { takeSnapshot } from "./top/snapshot.ts";
import { Terminal } from "./top/terminal.ts";
import { TopApp } from "./top/top_app.ts";
import { withClient } from "./base/with_client.ts";

/** Between the two looks that rates are told from. */
const RATE_MS = 500;

export const top = defineCommand({
  name: "top",
  summary: "watch the server work: rates, queues, workers, tasks; act on them",
  flags: {
    ...CLIENT_FLAGS,
    interval: {
      type: "duration",
      value: "TIME",
      min: 100,
      max: 3_600_000,
      default: 1000,
      help: "look at the server so often",
    },
    once: { type: "boolean", help: "print how it is now, and end" },
  },
  examples: [
    ["sd top", "until q; ? tells the keys"],
    ["sd top --once", "as text, and once; so it is in a pipe, too"],
    ["sd top --json", "the same for programs"],
  ],
  notes: [
    "Keys: q quit, arrows or j k move, Enter shows a task, / filter by status, op or id, c cancel, r " +
    "retry, ? help. When the connection is lost it waits for the server and goes on.",
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
  // Before the screen is taken over: that there is no server is an error like any other.
  await using client = await connect(targetOf(flags), {
    reconnectMs: Infinity,
    onLost: (error) => app.connection(error),
    onBack: () => app.connection(undefined),
  });
  using terminal = new Terminal(app);
  return await app.run(client, terminal);
}
