/**
 * A server: its doors, which are open for the life of the process, and the rooms behind them. `serve.ts` runs one for the
 * command line; tests run as many as they like.
 */

import { inLanguage } from "../cli/messages.ts";
import { ClientError } from "../net/client_error.ts";
import { formatTarget } from "../net/target.ts";
import type { ServerHealth } from "../protocol/task.ts";
import type { ServeConfig } from "./config.ts";
import { MESSAGES } from "./messages.ts";
import { Metrics } from "./metrics.ts";
import { openRooms, type Rooms, type RoomsOptions } from "./rooms.ts";
import { TcpDoor } from "./tcp/door.ts";
import { type Listeners, openListeners } from "./tcp/socket/acceptor.ts";
import { createLocalPool } from "./worker_processes.ts";

export interface ServerOptions
  extends Omit<RoomsOptions, "leaseMs" | "metrics" | "onOwnPool" | "endOwn" | "health"> {
  /** As in `RoomsOptions`; default: 30 s. */
  readonly leaseMs?: number;
}

const LEASE_MS = 30_000;

export interface Server {
  readonly address: { readonly hostname: string; readonly port: number };
  /**
   * Resolves when the server's own workers are connected; at once when it has none. Rejects with a
   * `ClientError` if their task files do not load, and are not watched for changes.
   */
  readonly workersStarted: Promise<void>;
  /**
   * Reports itself as draining to load balancers, and serves as before for `drainDelayMs` (default 0). Then it refuses new
   * connections and tasks, lets running tasks finish for `graceMs`, ends the rest, closes everything.
   */
  stop(graceMs: number, drainDelayMs?: number): Promise<void>;
}

/**
 * Opens the engine, listens, and starts everything. Rejects with what `openEngine` throws, or with a `ClientError` for
 * an address or a certificate that cannot be used.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, secret, log, limits, version, clock } = options;
  const metrics = new Metrics();
  const started = Promise.withResolvers<void>();
  let isDraining = false;
  const health = (): ServerHealth => ({
    ok: !isDraining,
    role: "alone",
    draining: isDraining,
    version,
  });
  const rooms = await openRooms({
    leaseMs: LEASE_MS,
    ...options,
    metrics,
    health,
    onOwnPool: started.resolve,
    endOwn: (pid) => pool?.kill(pid),
  });
  const listeners = await listen(config, () => rooms.close(0, () => undefined));
  const door = new TcpDoor({
    listeners,
    tls: config.tls,
    proxies: config.proxies,
    health,
    behind: rooms.reception,
    limits,
    log,
    metrics,
  });
  const own = listeners.own?.addr as Deno.NetAddr | undefined;
  const pool = own && createLocalPool({
    config,
    server: { hostname: own.hostname, port: own.port },
    secret,
    log,
    notices: metrics.notices,
  });
  if (!pool) started.resolve();
  else pool.loaded.catch(started.reject);

  const address = listeners.open.addr as Deno.NetAddr;
  log.info("server", inLanguage(MESSAGES).listening(formatTarget(address)));
  door.start();
  pool?.start();
  rooms.start();

  let stopped: Promise<void> | undefined;
  return {
    address,
    workersStarted: started.promise,
    stop(graceMs, drainDelayMs = 0) {
      isDraining = true;
      return stopped ??= stopServer(rooms, {
        door,
        stopPool: (ms) => pool?.stop(ms),
        graceMs,
        drained: drainDelayMs > 0
          ? new Promise((resolve) => void clock.after(drainDelayMs, resolve))
          : undefined,
      });
    },
  };
}

interface Stopping {
  readonly door: TcpDoor;
  readonly stopPool: (ms: number) => Promise<void> | undefined;
  readonly graceMs: number;
  /** Pending while load balancers notice that this server drains. */
  readonly drained: Promise<void> | undefined;
}

async function stopServer(
  rooms: Rooms,
  { door, stopPool, graceMs, drained }: Stopping,
): Promise<void> {
  await drained;
  const accepting = door.stopAccepting();
  await rooms.close(graceMs, stopPool);
  await accepting;
  await door.close();
}

/** Opens the sockets; an address that cannot be had is for the operator to change. */
async function listen(config: ServeConfig, onFailed: () => Promise<void>): Promise<Listeners> {
  const { hostname, port } = config;
  try {
    return openListeners(config);
  } catch (error) {
    await onFailed();
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
