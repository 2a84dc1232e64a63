/**
 * A server: its doors, which are open for the life of the process, and the rooms behind them. `serve.ts` runs one for the
 * command line; tests run as many as they like.
 */

import type { ServerHealth } from "../protocol/task.ts";
import { Doors } from "./doors.ts";
import { Metrics } from "./metrics.ts";
import { openRooms, type Rooms, type RoomsOptions } from "./rooms.ts";

export interface ServerOptions
  extends Omit<RoomsOptions, "leaseMs" | "metrics" | "onOwnPool" | "endOwn" | "health"> {
  /** As in `RoomsOptions`; default: 30 s. */
  readonly leaseMs?: number;
}

/** As in `RoomsOptions`, in ms. */
export const DEFAULT_LEASE_MS = 30_000;

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
  const { version, clock } = options;
  const metrics = new Metrics();
  const started = Promise.withResolvers<void>();
  let isDraining = false;
  const health = (): ServerHealth => ({
    ok: !isDraining,
    role: "alone",
    draining: isDraining,
    version,
  });
  let doors: Doors | undefined;
  const rooms = await openRooms({
    leaseMs: DEFAULT_LEASE_MS,
    ...options,
    metrics,
    health,
    onOwnPool: started.resolve,
    endOwn: (pid) => doors?.endOwn(pid),
  });
  const open = doors = await openDoors(
    { ...options, metrics, health, behind: rooms.reception },
    rooms,
  );
  if (!open.hasPool) started.resolve();
  else open.poolLoaded.catch(started.reject);
  open.start();
  rooms.start();

  let stopped: Promise<void> | undefined;
  return {
    address: open.address,
    workersStarted: started.promise,
    stop(graceMs, drainDelayMs = 0) {
      isDraining = true;
      return stopped ??= stopServer(rooms, {
        doors: open,
        graceMs,
        drained: drainDelayMs > 0
          ? new Promise((resolve) => void clock.after(drainDelayMs, resolve))
          : undefined,
      });
    },
  };
}

interface Stopping {
  readonly doors: Doors;
  readonly graceMs: number;
  /** Pending while load balancers notice that this server drains. */
  readonly drained: Promise<void> | undefined;
}

async function stopServer(
  rooms: Rooms,
  { doors, graceMs, drained }: Stopping,
): Promise<void> {
  await drained;
  const accepting = doors.stopAccepting();
  await rooms.close(graceMs, doors.stopWorkers);
  await accepting;
  await doors.close();
}

/** Listens. If that fails, the rooms are closed again. */
async function openDoors(
  options: ConstructorParameters<typeof Doors>[0],
  rooms: Rooms,
): Promise<Doors> {
  try {
    return new Doors(options);
  } catch (error) {
    await rooms.close(0, () => undefined);
    throw error;
  }
}
