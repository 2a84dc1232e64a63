/** `sd retry`: queues tasks again that failed, were cancelled or expired. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { bulk, BULK_FLAGS, isByFilter } from "./bulk/bulk.ts";
import { forEachTask, showStatus } from "./bulk/each_task.ts";
import { filterOf } from "./bulk/task_filter.ts";
import { withClient } from "./base/with_client.ts";

export const retry = defineCommand({
  name: "retry",
  summary: "queue tasks again that failed, were cancelled or expired",
  positional: "[ID…]",
  maxArgs: Infinity,
  flags: {
    ...CLIENT_FLAGS,
    status: {
      type: "string",
      value: "STATUS",
      choices: ["failed", "cancelled", "expired"],
      help: "only those in it; failed where another filter is given and this is not",
    },
    ...BULK_FLAGS,
  },
  examples: [
    ["sd retry 0193a1c2-…", "prints its id and status"],
    ["sd retry --status failed --op resize --since 1h", "shows which, and asks"],
    ["sd retry --status failed --yes", "all of them, without asking"],
  ],
  notes: [
    "By a filter, those submitted first are queued first. In a pipe, where nobody can be asked, it wants " +
    "--yes.",
    "Exit: 0 all queued, 2 nobody could be asked, 5 no such task, 7 one is not in a state to be retried.",
  ],
  async run({ flags, args: ids }) {
    if (isByFilter({ name: "retry", ids, flags })) {
      const filter = { status: "failed" as const, ...filterOf(flags), order: "oldest" as const };
      return await bulk({ verb: { name: "retry", done: "retried" }, flags, filters: [filter] });
    }
    return await withClient({ flags }, (client) =>
      forEachTask({
        ids,
        json: flags.json,
        ask: async (id) => ({ task: { ...await client.retry(id) } }),
        show: showStatus,
      }));
  },
});
