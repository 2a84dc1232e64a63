/** Watching a server: every turn in the life of its tasks, as it happens. */

import type { WatchEvent } from "../protocol/task.ts";
import type { RawClient } from "./raw_client.ts";
import { deferred, handled } from "./connection/deferred.ts";

/** Which tasks to be told of; all, where nothing is named. */
export interface WatchFilter {
  taskId?: string;
  op?: string;
}

export interface Watching {
  /** Resolves after `stop`; rejects when the connection is lost. It may be left alone. */
  readonly ended: Promise<void>;
  /** Nothing more is told from now on. */
  stop(): Promise<void>;
}

/** Watches that are open: the server ends all of a connection together. */
const open = new WeakMap<RawClient, number>();

/**
 * Calls `onEvent` for everything that happens to the tasks of `filter` from now on. Resolves once the
 * server watches. Who is too slow to read loses events, and is told so by one of `dropped`. With `resumes`
 * a connection that is lost and made again is no end: another `dropped`, without a count, stands for what
 * happened meanwhile.
 */
export async function watch(
  client: RawClient,
  { taskId, op }: WatchFilter,
  onEvent: (event: WatchEvent) => void,
  { resumes = false }: { resumes?: boolean } = {},
): Promise<Watching> {
  const on = deferred<void>();
  const stopped = deferred<void>();
  let isOn = false;
  let isStopped = false;
  const replies = client.replies(
    {
      cmd: "watch",
      ...(taskId === undefined ? {} : { task_id: taskId }),
      ...(op === undefined ? {} : { op }),
    },
    (reply) => {
      const isAgain = reply.watch === "on" && isOn;
      if (isStopped) return true;
      if (isAgain) onEvent({ event: "dropped", at: new Date().toISOString() });
      else if (reply.watch !== "on") onEvent(reply as unknown as WatchEvent);
      if (reply.watch === "on") {
        isOn = true;
        on.resolve();
      }
      return false;
    },
    { resumes: () => resumes && !isStopped },
  );
  // Whoever wants to know of the end awaits it.
  replies.catch(() => undefined);
  await Promise.race([on.promise, replies]);
  open.set(client, (open.get(client) ?? 0) + 1);
  return {
    ended: handled(Promise.race([replies, stopped.promise])),
    async stop() {
      if (isStopped) return;
      isStopped = true;
      stopped.resolve();
      const left = (open.get(client) ?? 1) - 1;
      open.set(client, left);
      if (left === 0) await client.ask({ cmd: "unwatch" });
    },
  };
}
