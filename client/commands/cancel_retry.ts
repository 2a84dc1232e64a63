/** `sd cancel` and `sd retry`: one change of status, for the tasks of given ids or for all tasks of a filter. */

import { type Command, defineCommand } from "../../cli/command.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { COMMANDS } from "../../protocol/operations.ts";
import { OPEN_STATUSES, RETRIABLE_STATUSES, type Status } from "../../protocol/task.ts";
import type { ListFilter } from "../client.ts";
import { withClient } from "./base/with_client.ts";
import { bulk, BULK_FLAGS, isByFilter } from "./bulk/bulk.ts";
import type { BulkVerb } from "./bulk/bulk_run.ts";
import { forEachTask, showStatus } from "./bulk/each_task.ts";
import { filterOf, type FilterValues } from "./bulk/task_filter.ts";

interface ChangeSpec {
  readonly verb: BulkVerb;
  readonly summary: string;
  /** Statuses that a task can be in before. */
  readonly statuses: readonly Status[];
  /** The default of `--status` beside another filter. */
  readonly statusFallback: string;
  readonly examples: readonly (readonly [commandLine: string, whatItDoes: string])[];
  readonly notes: readonly string[];
  /** The filters that the flags come to, in the order in which they are worked off. */
  filters(values: FilterValues): ListFilter[];
}

function changeCommand(spec: ChangeSpec): Command {
  const { name } = spec.verb;
  return defineCommand({
    name,
    summary: spec.summary,
    positional: "[ID…]",
    maxArgs: Infinity,
    flags: {
      ...CLIENT_FLAGS,
      status: {
        type: "string",
        value: "STATUS",
        choices: spec.statuses,
        help: COMMANDS.list.takes.status.about,
        fallback: `${spec.statusFallback} with another filter`,
      },
      ...BULK_FLAGS,
    },
    examples: spec.examples,
    notes: spec.notes,
    async run({ flags, args: ids }) {
      if (isByFilter({ name, ids, flags })) {
        return await bulk({ verb: spec.verb, flags, filters: spec.filters(flags) });
      }
      return await withClient({ flags }, (client) =>
        forEachTask({
          ids,
          json: flags.json,
          ask: async (id) => ({ task: { ...await client[name](id) } }),
          show: showStatus,
        }));
    },
  });
}

export const cancel = changeCommand({
  verb: { name: "cancel", done: "cancelled" },
  summary: "cancel queued or running tasks",
  statuses: OPEN_STATUSES,
  statusFallback: "all three",
  examples: [
    ["sd cancel 0193a1c2-…", "print its id and status once it has stopped"],
    ["sd cancel --op resize --since 1h", "show the tasks, then ask"],
    ["sd cancel --status queued --yes", "every task that waits, without asking"],
  ],
  notes: [
    "With a filter, the newest tasks are cancelled first, and tasks that are submitted meanwhile stay. In a pipe, " +
    "where sd cannot ask, --yes is required.",
    "Exit: 0 all cancelled, 2 --yes is missing, 5 no such task, 7 a task is final already.",
  ],
  // One status after the other, in the order of a task's life: a task that moves on meanwhile is still found.
  filters: (flags) =>
    (flags.status === undefined ? OPEN_STATUSES : [flags.status])
      .map((status) => ({ ...filterOf(flags), status })),
});

export const retry = changeCommand({
  verb: { name: "retry", done: "retried" },
  summary: "queue failed, cancelled or expired tasks again",
  statuses: RETRIABLE_STATUSES,
  statusFallback: "failed",
  examples: [
    ["sd retry 0193a1c2-…", "print its id and status"],
    ["sd retry --status failed --op resize --since 1h", "show the tasks, then ask"],
    ["sd retry --status failed --yes", "every failed task, without asking"],
  ],
  notes: [
    "With a filter, the oldest tasks are queued first. In a pipe, where sd cannot ask, --yes is required.",
    "Exit: 0 all queued, 2 --yes is missing, 5 no such task, 7 a task is not in a status that can be retried.",
  ],
  filters: (flags) => [{ status: "failed", ...filterOf(flags), order: "oldest" }],
});
