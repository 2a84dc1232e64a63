/**
 * The server's own workers: one process of the same executable, started, watched and replaced by a
 * `PoolKeeper`. It connects back over TCP like any other; its name tells it from the others.
 */

import { PoolKeeper } from "../../cli/pool_keeper.ts";
import type { PoolStart, PoolWork } from "../../protocol/pool_start.ts";
import type { Log } from "../log.ts";

export interface LocalPoolOptions {
  readonly server: PoolStart["server"];
  readonly secret: string;
  readonly workers: number;
  readonly work: PoolWork;
  readonly log: Log;
}

/** What the server's own pool calls itself on its work link. */
export const LOCAL_POOL = "local";

export class LocalPool {
  readonly #keeper: PoolKeeper;

  constructor({ server, secret, workers, work, log }: LocalPoolOptions) {
    this.#keeper = new PoolKeeper({
      start: { server, secret, workers, ...work, pool: LOCAL_POOL, reconnect: false },
      onEvent(event) {
        if (event.type === "retiring") {
          log.warn("server", `a worker would not stop; worker process ${event.pid} is replaced`);
        } else if (event.type === "exited" && event.unexpected) {
          const how = event.signal ? `by ${event.signal}` : `with code ${event.code}`;
          log.warn("server", `worker process ${event.pid} ended ${how}; another is started`);
        }
      },
    });
  }

  start(): void {
    this.#keeper.start();
  }

  /** Lets tasks finish for at most `graceMs`, then ends the process. */
  async stop(graceMs: number): Promise<void> {
    await this.#keeper.stop(graceMs);
  }
}
