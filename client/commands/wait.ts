/** `sd wait`: waits for tasks and prints their results. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { MAX_TIMEOUT_MS } from "../../protocol/limits.ts";
import { RETRIABLE_STATUSES } from "../../protocol/task.ts";
import { forEachTask, type TaskOutcome } from "./bulk/each_task.ts";
import { outOfTime, withClient, within } from "./base/with_client.ts";
import { goesOn, printEnd, reportOfEnd, talk, withHint } from "./base/output.ts";
import { withProgress } from "./base/progress_line.ts";
import type { TaskEnd } from "../task/task_end.ts";

const RETRIABLE: ReadonlySet<unknown> = new Set(RETRIABLE_STATUSES);

export const wait = defineCommand({
  name: "wait",
  summary: "wait for tasks and print their results",
  positional: "ID…",
  minArgs: 1,
  maxArgs: Infinity,
  flags: {
    ...CLIENT_FLAGS,
    timeout: {
      type: "duration",
      value: "TIME",
      max: MAX_TIMEOUT_MS,
      help: "longest wait; the tasks go on",
      fallback: "for ever",
    },
  },
  examples: [
    ["sd wait 0193a1c2-…", "print the result"],
    ["sd wait --timeout 10s a-1 a-2 a-3", "a line of JSON for each, as they end"],
  ],
  notes: [
    "The result of a single task is printed alone; of several, each is a line " +
    '{"task_id":…,"status":…,"result"|"error":…}. The worst outcome sets the exit code: 5 no such task, ' +
    "1 failed, 6 cancelled or expired, 124 --timeout passed, 0 all done.",
  ],
  async run({ flags, args }) {
    const ids = [...new Set(args)];
    const waitMs = flags.timeout || Infinity;
    const open = new Set(ids);
    const unfinished = () => open.size > 0 ? goesOn([...open]) : undefined;
    return await withClient({ flags, unfinished, reconnects: true }, async (client) => {
      const until = performance.now() + waitMs;
      const endOf = async (id: string) => {
        const ms = Math.max(0, until - performance.now());
        const late = () => outOfTime(client, { waitMs, what: "no result", hint: goesOn([id]) });
        const end = await within(client.end(id), { ms, late }).catch((error) => {
          throw withHint(error, unfinished());
        });
        open.delete(id);
        return end;
      };
      const [only, second] = ids;
      if (only !== undefined && second === undefined && !flags.json) {
        const watched = { client, id: only, json: flags.json };
        return printEnd(await withProgress(watched, () => endOf(only)), flags);
      }
      const again: string[] = [];
      const exit = await forEachTask({
        ids,
        json: flags.json,
        ask: async (id) => outcomeOf(await endOf(id)),
        show: ({ task }) => {
          print(JSON.stringify(task));
          if (RETRIABLE.has(task.status)) again.push(task.task_id);
        },
      });
      if (again.length > 0) talk(`run tasks without a result again with: sd retry ${named(again)}`);
      if (!flags.json && exit === EXIT.timedOut) talk(goesOn([...open]));
      return exit;
    });
  },
});

/** The first ids, as arguments of a command. */
function named(ids: readonly string[]): string {
  const most = 10;
  return ids.length <= most ? ids.join(" ") : `${ids.slice(0, most).join(" ")} …`;
}

function outcomeOf(end: TaskEnd): TaskOutcome {
  return end.status === "completed" ? { task: end } : { task: end, error: reportOfEnd(end) };
}
