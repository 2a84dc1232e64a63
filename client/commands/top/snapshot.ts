/** The data of `sd top` at one moment, collected from the server. */

import { ClientError } from "../../../net/client_error.ts";
import { SdError } from "../../../protocol/errors.ts";
import { type ServerStats, type Status, STATUSES, type TaskView } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";

/** Most tasks in a list. */
const MAX_LISTED = 200;
const MAX_FAILURES = 20;

/** Tasks a second, since the last snapshot. */
interface Rates {
  readonly submitted: number;
  readonly finished: number;
}

export interface Snapshot {
  readonly stats: ServerStats;
  /** `undefined` in the first snapshot and after a restart of the server. */
  readonly rates: Rates | undefined;
  /** The tasks of the filter; without one all running tasks, the longest first. */
  readonly tasks: readonly TaskView[];
  /** Failed tasks, the latest first; none with a filter. */
  readonly failures: readonly TaskView[];
}

/** A filter of tasks. */
export type TaskChoice =
  | { readonly status: Status }
  | { readonly op: string }
  | { readonly id: string };

/** Collects a snapshot; `before` is the last one. */
export async function takeSnapshot(
  client: Client,
  { choice, before }: { choice: TaskChoice | undefined; before: Snapshot | undefined },
): Promise<Snapshot> {
  const [stats, tasks] = await Promise.all([client.stats(), tasksOf(client, choice)]);
  // The same counts as in the last snapshot: then the failures are the same as well.
  const isSame = before !== undefined && stats.tasks.failed === before.stats.tasks.failed &&
    stats.totals.finished === before.stats.totals.finished;
  const failures = choice !== undefined || stats.tasks.failed === 0
    ? []
    : isSame && before.failures.length > 0
    ? before.failures
    : await failuresOf(client);
  return { stats, rates: before && ratesOf(before.stats, stats), tasks, failures };
}

/** The filter for `text`: a status, the name of an op, or the id of a task. Throws for any other text. */
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
    // The server may have removed its record.
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

/** Compares two times. Their format sorts by time. */
function compareTimes(a = "", b = ""): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
