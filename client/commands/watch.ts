/** `sd watch`: prints events of tasks as they happen, a line for each. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls } from "../../cli/talk.ts";
import { COMMANDS } from "../../protocol/operations.ts";
import { FINAL_STATUSES, type FinalStatus, type WatchEvent } from "../../protocol/task.ts";
import type { Client } from "../client.ts";
import { withLines } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { watch } from "../watching.ts";
import { withClient } from "./base/with_client.ts";
import { rawOf } from "../server_client.ts";

/** Width of the longest common name of an event. */
const NAME_COLUMNS = "completed".length;

const EXIT_OF: Record<FinalStatus, ExitCode> = {
  completed: EXIT.ok,
  failed: EXIT.failed,
  cancelled: EXIT.ended,
  expired: EXIT.ended,
};

export const watchCommand = defineCommand({
  name: "watch",
  summary: "print events of tasks as they happen",
  positional: "[ID]",
  maxArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    op: { type: "string", value: "OP", help: COMMANDS.watch.takes.op.about },
  },
  examples: [
    ["sd watch", "all tasks, until Ctrl-C"],
    ["sd watch 0193a1c2-…", "one task, until it is final"],
    ["sd watch --op resize --json", "for programs: a line of JSON for each event"],
  ],
  notes: [
    "A reader that is too slow loses events; a line reports how many.",
    "Exit with an ID: 0 completed, 1 failed, 5 no such task, 6 cancelled or expired. Ctrl-C: 130.",
  ],
  async run({ flags, args }) {
    const [id] = args;
    return await withClient({ flags }, (client) =>
      withLines((lines) => {
        const show = (event: WatchEvent) =>
          lines.add(flags.json ? JSON.stringify(event) : textOf(event));
        return follow(client, { id, op: flags.op, show });
      }));
  },
});

interface Following {
  id: string | undefined;
  op: string | undefined;
  show(event: WatchEvent): void;
}

/** Resolves with the exit code once the task `id` has ended; without an id only a lost connection ends it. */
async function follow(client: Client, { id, op, show }: Following): Promise<ExitCode> {
  const end = Promise.withResolvers<ExitCode>();
  let hasEnded = false;
  const take = (event: WatchEvent) => {
    if (hasEnded) return;
    show(event);
    if (id === undefined || !isEnd(event)) return;
    hasEnded = true;
    end.resolve(EXIT_OF[event.event]);
  };
  const filter = {
    ...(id === undefined ? {} : { taskId: id }),
    ...(op === undefined ? {} : { op }),
  };
  const watching = await watch(rawOf(client), filter, take);
  if (id !== undefined) take(await present(client, id));
  await Promise.race([end.promise, watching.ended]);
  return await end.promise;
}

/** The present status of the task as an event. */
async function present(client: Client, id: string): Promise<WatchEvent> {
  const { task_id, op, status, attempt, error, progress, ...times } = await client.get(id);
  return {
    event: status === "running" ? "started" : status,
    at: times.finished_at ?? times.started_at ?? times.created_at,
    task_id,
    op,
    ...(attempt > 0 ? { attempt } : {}),
    ...(error && { error }),
    ...(progress && { progress }),
  };
}

function isEnd(event: WatchEvent): event is WatchEvent & { event: FinalStatus } {
  return (FINAL_STATUSES as readonly string[]).includes(event.event);
}

function textOf(watched: WatchEvent): string {
  const { event, at, task_id, op, attempt, error, progress, log, count } = watched;
  if (event === "dropped") {
    return `${at} ${event.padEnd(NAME_COLUMNS)} ${withCommas(count ?? 0)} events were lost: ` +
      "this reader is too slow";
  }
  const words = [at, event.padEnd(NAME_COLUMNS), task_id, op];
  if (attempt !== undefined) words.push(`attempt ${attempt}`);
  if (progress) words.push(`${Math.floor(progress.fraction * 100)} %`, progress.note);
  if (error) words.push(`${error.code}: ${error.message}`);
  if (log) {
    return log.map(({ level, text }) => escapeControls([...words, level, text].join(" "))).join(
      "\n",
    );
  }
  return escapeControls(words.filter((word) => word !== undefined).join(" "));
}
