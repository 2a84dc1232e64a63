/** `sd cancel`: cancels tasks; a queued one never starts, a running one is stopped. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { forEachTask, showStatus } from "../each_task.ts";
import { withClient } from "../with_client.ts";

export const cancel = defineCommand({
  name: "cancel",
  summary: "cancel tasks, queued or running",
  positional: "ID…",
  minArgs: 1,
  maxArgs: Infinity,
  flags: CLIENT_FLAGS,
  examples: [["sd cancel 0193a1c2-…", "prints its id and status once it has stopped"]],
  notes: ["Exit: 0 all cancelled, 5 no such task, 7 one is final already."],
  async run({ flags, args: ids }) {
    return await withClient({ flags }, (client) =>
      forEachTask({
        ids,
        json: flags.json,
        ask: async (id) => ({ task: { ...await client.cancel(id) } }),
        show: showStatus,
      }));
  },
});
