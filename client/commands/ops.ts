/** `sd ops`: what can be submitted now. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { print } from "../../cli/talk.ts";
import type { OpView } from "../../protocol/task.ts";
import { alignedTable } from "../table.ts";
import { withClient } from "../with_client.ts";

export const ops = defineCommand({
  name: "ops",
  summary: "list the ops that can be submitted, and how many workers have each",
  flags: CLIENT_FLAGS,
  examples: [["sd ops", "one op a line"]],
  async run({ flags }) {
    const list = await withClient({ flags }, (client) => client.ops());
    if (flags.json) printData({ ops: list });
    else print(alignedTable([["OP", "WORKERS"], ...list.map(rowOf)], [1]));
    return EXIT.ok;
  },
});

function rowOf({ op, workers, paused }: OpView): string[] {
  return paused ? [op, String(workers), "paused"] : [op, String(workers)];
}
