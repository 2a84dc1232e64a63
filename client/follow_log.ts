/**
 * Follows the log of a task until it is final: first the entries that are kept, then each new one as it comes, every
 * entry once. Entries that the watch missed (a lost connection, a slow reader) are read from the kept ones.
 */

import { ClientError } from "../net/client_error.ts";
import { SdError } from "../protocol/errors.ts";
import type { LogLine, TaskLogView, WatchEvent } from "../protocol/task.ts";
import type { Abortable } from "./connection/call_options.ts";
import { deferred } from "./connection/promises.ts";
import type { RawClient } from "./raw_client.ts";
import { watch } from "./watching.ts";

/** Options of `followLog`. */
interface FollowOptions extends Abortable {
  readonly id: string;
  readonly take: (line: LogLine) => void;
}

/** See `Client.followLog`. */
export async function followLog(
  raw: RawClient,
  { id, take, signal }: FollowOptions,
): Promise<void> {
  const fresh = new Fresh(take);
  const read = async () =>
    fresh.take((await raw.ask<TaskLogView>({ cmd: "logs", task_id: id }, { signal })).log);
  // Goes on after a lost connection, and rejects if the connection is lost for good.
  const final = raw.wait(id, { signal }).then(() => true);
  let failure: unknown;
  final.catch((error) => failure = error);
  for (;;) {
    try {
      if (await followOnce(raw, { id, fresh, final, read })) break;
    } catch (error) {
      if (failure !== undefined) throw failure;
      if (!isLoss(error)) throw error;
    }
  }
  try {
    await read();
  } catch (error) {
    // The record is removed already; the watch has brought every entry.
    if (!(error instanceof SdError && error.code === "not_found")) throw error;
  }
}

interface Following {
  readonly id: string;
  readonly fresh: Fresh;
  readonly final: Promise<boolean>;
  /** Passes on the entries that are kept. */
  readonly read: () => Promise<void>;
}

/** True when the task is final; false when events were lost, so that the kept entries must be read again. */
async function followOnce(
  raw: RawClient,
  { id, fresh, final, read }: Following,
): Promise<boolean> {
  const dropped = deferred<boolean>();
  /** Events that come before the reply to `logs` wait for it. */
  let early: WatchEvent[] | undefined = [];
  const hear = (event: WatchEvent) => {
    if (event.log) fresh.take(event.log);
    else if (event.event === "dropped") dropped.resolve(false);
  };
  const watching = await watch(raw, { taskId: id }, (event) => {
    if (early) early.push(event);
    else hear(event);
  });
  try {
    await read();
    early.forEach(hear);
    early = undefined;
    return await Promise.race([final, dropped.promise, watching.ended.then(() => false)]);
  } finally {
    await watching.stop().catch((error) => {
      // There is nothing to stop on a connection that is gone.
      if (!isLoss(error)) throw error;
    });
  }
}

/** Passes on each entry once, also if a server has lost entries and uses their numbers again. */
class Fresh {
  readonly #take: (line: LogLine) => void;
  #n = 0;
  #at = "";

  constructor(take: (line: LogLine) => void) {
    this.#take = take;
  }

  take(lines: readonly LogLine[]): void {
    for (const line of lines) {
      if (line.n <= this.#n && line.at <= this.#at) continue;
      this.#n = line.n;
      if (line.at > this.#at) this.#at = line.at;
      this.#take(line);
    }
  }
}

function isLoss(error: unknown): boolean {
  return error instanceof ClientError && error.code === "unreachable";
}
