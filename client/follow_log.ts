/**
 * Follows what a task says until it is final: what is kept of it first, then everything as it comes, each entry
 * once. What a watch misses, because it was too slow or its connection was lost, is read from what is kept.
 */

import { ClientError } from "../net/client_error.ts";
import { SdError } from "../protocol/errors.ts";
import type { LogLine, WatchEvent } from "../protocol/task.ts";
import type { Client } from "./client.ts";
import { watch } from "./watching.ts";

/** Calls `take` for every entry, in order. Resolves once the task is final and all of it was told. */
export async function followLog(
  client: Client,
  id: string,
  take: (line: LogLine) => void,
): Promise<void> {
  const fresh = new Fresh(take);
  // Outlives a lost connection, and fails with the one that is lost for good.
  const final = client.wait(id).then(() => true);
  let failure: unknown;
  final.catch((error) => failure = error);
  for (;;) {
    try {
      if (await followOnce(client, { id, fresh, final })) break;
    } catch (error) {
      if (failure !== undefined) throw failure;
      if (!isLoss(error)) throw error;
    }
  }
  try {
    fresh.take((await client.logs(id)).log);
  } catch (error) {
    // Its record is gone already; all that was said until its end was told.
    if (!(error instanceof SdError && error.code === "not_found")) throw error;
  }
}

interface Following {
  readonly id: string;
  readonly fresh: Fresh;
  readonly final: Promise<boolean>;
}

/** True when the task is final; false when events were lost, and what is kept is to be read again. */
async function followOnce(client: Client, { id, fresh, final }: Following): Promise<boolean> {
  const dropped = Promise.withResolvers<boolean>();
  /** What comes before the answer to `logs` waits for it. */
  let early: WatchEvent[] | undefined = [];
  const hear = (event: WatchEvent) => {
    if (event.log) fresh.take(event.log);
    else if (event.event === "dropped") dropped.resolve(false);
  };
  const watching = await watch(client, { taskId: id }, (event) => {
    if (early) early.push(event);
    else hear(event);
  });
  try {
    fresh.take((await client.logs(id)).log);
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

/** Passes on each entry once, also across a server that has lost some and gives their numbers again. */
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
