/** `sd cancel`: cancels tasks; a queued one never starts, a running one is stopped. */

import { defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import type { Status } from "../../protocol/task.ts";
import { bulk, BULK_FLAGS, isByFilter } from "./bulk/bulk.ts";
import { forEachTask, showStatus } from "./bulk/each_task.ts";
import { filterOf } from "./bulk/task_filter.ts";
import { withClient } from "./base/with_client.ts";

/** In the order in which a task goes through them: one that moves on meanwhile is found there. */
const OPEN = ["delayed", "queued", "running"] as const satisfies readonly Status[];

export const cancel = defineCommand({
  name: "cancel",
  summary: "cancel tasks, queued or running",
  positional: "[ID…]",
  maxArgs: Infinity,
  flags: {
    ...CLIENT_FLAGS,
    status: {
      type: "string",
      value: "STATUS",
      choices: OPEN,
      help: "only those in it; all three where another filter is given and this is not",
    },
    ...BULK_FLAGS,
  },
  examples: [
    ["sd cancel 0193a1c2-…", "prints its id and status once it has stopped"],
    ["sd cancel --op resize --since 1h", "shows which, and asks"],
    ["sd cancel --status queued --yes", "all that wait, without asking"],
  ],
  notes: [
    "By a filter, those submitted last go first, and what is submitted meanwhile stays. In a pipe, where " +
    "nobody can be asked, it wants --yes.",
    "Exit: 0 all cancelled, 2 nobody could be asked, 5 no such task, 7 one is final already.",
  ],
  async run({ flags, args: ids }) {
    if (isByFilter({ name: "cancel", ids, flags })) {
      const statuses = flags.status === undefined ? OPEN : [flags.status];
      const filters = statuses.map((status) => ({ ...filterOf(flags), status }));
      return await bulk({ verb: { name: "cancel", done: "cancelled" }, flags, filters });
    }
    return await withClient({ flags }, (client) =>
      forEachTask({
        ids,
        json: flags.json,
        ask: async (id) => ({ task: { ...await client.cancel(id) } }),
        show: showStatus,
      }));
  },
});
