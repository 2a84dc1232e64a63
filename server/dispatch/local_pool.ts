/**
 * The server's own workers: one process of the same executable, started, watched and replaced by a
 * `PoolSupervisor`. It connects back over TCP like any other; its name tells it from the others.
 */

import { PoolSupervisor } from "../../cli/pool/pool_supervisor.ts";
import type { PoolStart, PoolWork } from "../../protocol/pool_start.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";

export interface LocalPoolOptions {
  readonly server: PoolStart["server"];
  readonly secret: string;
  readonly workers: number;
  readonly work: PoolWork;
  /** The arguments that named the task files, where they are to be loaded again when they change. */
  readonly watch: readonly string[] | undefined;
  readonly log: Log;
  readonly notices: Metrics["notices"];
}

/** What the server's own pool calls itself on its work link. */
export const LOCAL_POOL = "local";

export function openLocalPool(options: LocalPoolOptions): PoolSupervisor {
  const { server, secret, workers, work, watch, log, notices } = options;
  return new PoolSupervisor({
    start: { server, secret, workers, ...work, pool: LOCAL_POOL, reconnect: false },
    watch,
    warn: (message) => log.warn("server", message),
    info: (message) => log.info("server", message),
    said: (message) => log.info("worker", message),
    error: (message) => log.error("server", message),
    command: "sd serve",
    notice(notice) {
      if (notice) notices.set("pool", notice);
      else notices.delete("pool");
    },
  });
}
