/** Values for completions that must be looked up: tasks, ops and recurring tasks of the server, contexts. */

import type { Candidate, Source } from "../../cli/completion/completion.ts";
import { DEFAULT_CONTEXT, readContexts } from "../../cli/contexts.ts";
import type { Target } from "../../net/target.ts";
import { FINAL_STATUSES, type Status, STATUSES } from "../../protocol/task.ts";
import { type Client, connect } from "../client.ts";

/** So many of each status: nobody reads more. */
const MAX_TASKS = 100;
/** A shell types a candidate as it stands: only what no shell takes for anything else. */
const HARMLESS = /^[\p{L}\p{N}_][\p{L}\p{N}_.:@\/+-]*$/u;

/** Tasks that a command can do something with; of others, all. */
const STATUSES_FOR: Readonly<Record<string, readonly Status[]>> = {
  cancel: ["queued", "delayed", "running"],
  why: ["queued", "delayed", "running"],
  wait: ["queued", "delayed", "running"],
  retry: ["failed", "cancelled", "expired"],
  result: FINAL_STATUSES,
};

export interface Wanted {
  source: Exclude<Source, "files" | "folders">;
  /** The command that is being typed. */
  command: string;
  /** Found only where the server is asked. */
  target(): Target;
}

/** Everything there is; throws what keeps it from being known. */
export async function valuesOf({ source, command, target }: Wanted): Promise<Candidate[]> {
  if (source === "contexts") {
    const { named } = readContexts();
    const all = [...named].map(([value, { server }]) => ({ value, about: server }));
    return [...all, { value: DEFAULT_CONTEXT, about: "the server on this machine" }];
  }
  await using client = await connect(target(), { reconnectMs: 0 });
  const values = source === "tasks"
    ? await tasksOf(client, STATUSES_FOR[command] ?? STATUSES)
    : source === "ops"
    ? (await client.ops()).map(({ op, workers }) => ({ value: op, about: workersText(workers) }))
    : (await client.crons()).map(({ cron_id, op, cron }) => ({
      value: cron_id,
      about: `${op} at ${cron}`,
    }));
  return values.filter(({ value }) => HARMLESS.test(value));
}

async function tasksOf(client: Client, statuses: readonly Status[]): Promise<Candidate[]> {
  const pages = await Promise.all(
    statuses.map((status) => client.list({ status, limit: MAX_TASKS })),
  );
  return pages.flatMap(({ tasks }) =>
    tasks.map(({ task_id, op, status }) => ({ value: task_id, about: `${op}, ${status}` }))
  );
}

function workersText(count: number): string {
  return `${count} ${count === 1 ? "worker" : "workers"}`;
}
