/** `sd retry`: queues tasks again that failed, were cancelled or expired. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { forEachTask, showStatus } from "../each_task.ts";
import { withClient } from "../with_client.ts";

export const retry = defineCommand({
  name: "retry",
  summary: "queue tasks again that failed, were cancelled or expired",
  positional: "ID…",
  minArgs: 1,
  maxArgs: Infinity,
  flags: CLIENT_FLAGS,
  examples: [["sd retry 0193a1c2-…", "prints its id and status"]],
  notes: ["Exit: 0 all queued, 5 no such task, 7 one is not in a state to be retried."],
  async run({ flags, args: ids }) {
    return await withClient({ flags }, (client) =>
      forEachTask({
        ids,
        json: flags.json,
        ask: async (id) => ({ task: { ...await client.retry(id) } }),
        show: showStatus,
      }));
  },
});
