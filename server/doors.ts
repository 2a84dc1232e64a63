/**
 * The parts of a server that live as long as its process: its sockets, the door behind them, and its own worker processes. What is
 * behind the door can change. `server.ts` and `cluster_server.ts` open one each.
 */

import { inLanguage } from "../cli/messages.ts";
import type { PoolSupervisor } from "../cli/pool/pool_supervisor.ts";
import { ClientError } from "../net/client_error.ts";
import { formatTarget } from "../net/target.ts";
import type { ServerHealth } from "../protocol/task.ts";
import type { ServeConfig } from "./config.ts";
import type { ServerLimits } from "./limits.ts";
import type { Log } from "./log.ts";
import { MESSAGES } from "./messages.ts";
import type { Metrics } from "./metrics.ts";
import { TcpDoor } from "./tcp/door.ts";
import type { WireServer } from "./tcp/reception.ts";
import { type Listeners, openListeners } from "./tcp/socket/acceptor.ts";
import { createLocalPool } from "./worker_processes.ts";

interface DoorsOptions {
  readonly config: ServeConfig;
  readonly secret: string;
  readonly limits: ServerLimits;
  readonly log: Log;
  readonly metrics: Metrics;
  /** The answer to `health`. */
  readonly health: () => ServerHealth;
  /** Serves what comes through the door. */
  readonly behind: WireServer;
  /** The own worker processes connect again after a lost link; default: another process takes the place of each. */
  readonly reconnect?: boolean;
}

export class Doors {
  readonly address: { readonly hostname: string; readonly port: number };
  readonly #log: Log;
  readonly #door: TcpDoor;
  readonly #pool: PoolSupervisor | undefined;

  /** Listens. Throws a `ClientError` for an address or a certificate that cannot be used. */
  constructor(options: DoorsOptions) {
    const { config, secret, log, metrics, reconnect = false } = options;
    const listeners = listen(config);
    this.address = listeners.open.addr as Deno.NetAddr;
    this.#log = log;
    this.#door = new TcpDoor({
      ...options,
      listeners,
      tls: config.tls,
      proxies: config.proxies,
    });
    const own = listeners.own?.addr as Deno.NetAddr | undefined;
    this.#pool = own && createLocalPool({
      config,
      server: { hostname: own.hostname, port: own.port },
      secret,
      log,
      notices: metrics.notices,
      reconnect,
    });
  }

  /** Resolves once an own worker process is connected, at once if there is none to be. Rejects if its task files do not load. */
  get poolLoaded(): Promise<void> {
    return this.#pool?.loaded ?? Promise.resolve();
  }

  get hasPool(): boolean {
    return this.#pool !== undefined;
  }

  start(): void {
    this.#log.info("server", inLanguage(MESSAGES).listening(formatTarget(this.address)));
    this.#door.start();
    this.#pool?.start();
  }

  /** Kills an own worker process; another takes its place. */
  readonly endOwn = (pid: number): void => this.#pool?.kill(pid);

  /** Stops the own worker processes, which finish what they run for at most `ms`. */
  readonly stopWorkers = (ms: number): Promise<void> | undefined => this.#pool?.stop(ms);

  /** Takes no new connections; open ones go on. */
  stopAccepting(): Promise<void> {
    return this.#door.stopAccepting();
  }

  /** Close what is behind the door before. */
  close(): Promise<void> {
    return this.#door.close();
  }
}

/** Opens the sockets; an address that cannot be had is for the operator to change. */
function listen(config: ServeConfig): Listeners {
  const { hostname, port } = config;
  try {
    return openListeners(config);
  } catch (error) {
    const isInUse = error instanceof Deno.errors.AddrInUse;
    throw new ClientError(
      "usage",
      `cannot listen on ${hostname}:${port}: ${isInUse ? "it is in use" : String(error)}`,
      {
        ...(isInUse ? { hint: "choose another with --port, or stop the program that has it" } : {}),
        cause: error,
      },
    );
  }
}
