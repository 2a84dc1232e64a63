/** What `sd top` shows, as it is at one moment: asked of the server, and put together. */

import { ClientError } from "../../../net/client_error.ts";
import { SdError } from "../../../protocol/errors.ts";
import { type ServerStats, type Status, STATUSES, type TaskView } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";

/** Tasks of one list; more are not looked through by a person. */
const MAX_LISTED = 200;
const MAX_FAILURES = 20;

/** Tasks a second, since the look before. */
export interface Rates {
  readonly submitted: number;
  readonly finished: number;
}

export interface Snapshot {
  readonly stats: ServerStats;
  /** `undefined` at the first look, and after the server has started anew. */
  readonly rates: Rates | undefined;
  /** Those that a filter names, or all that run, those that have run longest first. */
  readonly tasks: readonly TaskView[];
  /** Those that ended last first; none beside a filter. */
  readonly failures: readonly TaskView[];
}

/** Which tasks to show. */
export type TaskChoice =
  | { readonly status: Status }
  | { readonly op: string }
  | { readonly id: string };

/** Asks for everything that there is to show. */
export async function takeSnapshot(
  client: Client,
  { choice, before }: { choice: TaskChoice | undefined; before: Snapshot | undefined },
): Promise<Snapshot> {
  const [stats, tasks] = await Promise.all([client.stats(), tasksOf(client, choice)]);
  // The same number of them kept since the last look: then they are the same, and need no look.
  const isSame = before !== undefined && stats.tasks.failed === before.stats.tasks.failed &&
    stats.totals.finished === before.stats.totals.finished;
  const failures = choice !== undefined || stats.tasks.failed === 0
    ? []
    : isSame && before.failures.length > 0
    ? before.failures
    : await failuresOf(client);
  return { stats, rates: before && ratesOf(before.stats, stats), tasks, failures };
}

/** What a person means by `text`: a status, the name of an op, or a task's id. Throws where it is none. */
export async function readChoice(client: Client, text: string): Promise<TaskChoice | undefined> {
  if (text === "") return undefined;
  const status = STATUSES.find((one) => one === text);
  if (status) return { status };
  const [ops, { tasks: [any] }] = await Promise.all([
    client.ops(),
    client.list({ op: text, limit: 1 }),
  ]);
  if (any || ops.some(({ op }) => op === text)) return { op: text };
  try {
    await client.get(text);
    return { id: text };
  } catch (error) {
    if (!(error instanceof SdError) || error.code !== "not_found") throw error;
    throw new ClientError("usage", `no status, op or task is called ${text}`, { cause: error });
  }
}

async function tasksOf(client: Client, choice: TaskChoice | undefined): Promise<TaskView[]> {
  if (choice === undefined || ("status" in choice && choice.status === "running")) {
    const { tasks } = await client.list({ status: "running", order: "oldest", limit: MAX_LISTED });
    return tasks.toSorted((a, b) => compareTimes(a.started_at, b.started_at));
  }
  if (!("id" in choice)) return (await client.list({ ...choice, limit: MAX_LISTED })).tasks;
  try {
    return [await client.get(choice.id)];
  } catch (error) {
    // Its record may be gone by now.
    if (error instanceof SdError && error.code === "not_found") return [];
    throw error;
  }
}

async function failuresOf(client: Client): Promise<TaskView[]> {
  const { tasks } = await client.list({ status: "failed", limit: MAX_FAILURES });
  return tasks.toSorted((a, b) => compareTimes(b.finished_at, a.finished_at));
}

function ratesOf(before: ServerStats, now: ServerStats): Rates | undefined {
  const seconds = (now.uptime_ms - before.uptime_ms) / 1000;
  if (seconds <= 0 || now.pid !== before.pid) return undefined;
  return {
    submitted: (now.totals.submitted - before.totals.submitted) / seconds,
    finished: (now.totals.finished - before.totals.finished) / seconds,
  };
}

/** All are written in one format, in which the order of the text is that of time. */
function compareTimes(a = "", b = ""): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
