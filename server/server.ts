/**
 * A server: its parts, which part gets which other, and the order in which they start and stop. `serve.ts` runs one
 * for the command line; tests run as many as they like.
 */

import { inLanguage } from "../cli/messages.ts";
import type { PoolSupervisor } from "../cli/pool/pool_supervisor.ts";
import { ClientError } from "../net/client_error.ts";
import { formatTarget } from "../net/target.ts";
import { Auth } from "./api/auth.ts";
import { CronApi } from "./api/cron_api.ts";
import { cronTakers } from "./api/cron_transfer.ts";
import type { UseCases } from "./api/operations.ts";
import { SubmitCheck } from "./api/submit_check.ts";
import { TaskApi } from "./api/task_api.ts";
import { TaskEntry } from "./api/task_entry.ts";
import { TaskReads } from "./api/task_reads.ts";
import { Transfer } from "./api/export_import.ts";
import type { Clock } from "./clock.ts";
import type { ServeConfig } from "./config.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { OpDirectory } from "./dispatch/op_directory.ts";
import { Pauses } from "./dispatch/pauses.ts";
import { Scheduler } from "./dispatch/scheduler.ts";
import { SchemaChecks } from "./dispatch/schema_checks.ts";
import { createJanitor, createReclaimer } from "./dispatch/upkeep.ts";
import { createWatchdog } from "./dispatch/watchdog.ts";
import { ResultReports } from "./dispatch/results.ts";
import { CronBook } from "./engine/cron_book.ts";
import type { EndedSink, Engine } from "./engine/engine.ts";
import type { ServerLimits } from "./limits.ts";
import { createLocalPool, linkEvents } from "./worker_processes.ts";
import type { Log } from "./log.ts";
import { MESSAGES } from "./messages.ts";
import { Metrics } from "./metrics.ts";
import { TaskEvents } from "./task/task_events.ts";
import { TcpDoor } from "./tcp/door.ts";
import { type Listeners, openListeners } from "./tcp/socket/acceptor.ts";

export interface ServerOptions {
  readonly config: ServeConfig;
  /** Opens the engine, which reports to `ended` from its opening on. */
  readonly openEngine: (ended: EndedSink) => Engine | Promise<Engine>;
  readonly secret: string;
  readonly limits: ServerLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Time from the last sign of life of a worker process to the end of its leases, in ms. */
  readonly leaseMs?: number;
}

const LEASE_MS = 30_000;
/** How long a stopping server lets its workers begin what they were handed, in ms. */
const STOP_BEGIN_MS = 5000;
/** How often a stopping server looks whether its tasks have finished. */
const STOP_LOOK_MS = 10;
/** Longest wait for the last commits of a server that stops, in ms. A full disk may stay full for hours. */
const STOP_COMMIT_MS = 3000;
const NOT_COMMITTED =
  "the disk does not take the ends of some tasks: they run again when the server starts";

export interface Server {
  readonly address: { readonly hostname: string; readonly port: number };
  /**
   * Resolves when the server's own workers are connected; at once when it has none. Rejects with a
   * `ClientError` if their task files do not load, and are not watched for changes.
   */
  readonly workersStarted: Promise<void>;
  /** Refuses new tasks, lets running ones finish for `graceMs`, ends the rest, closes everything. */
  stop(graceMs: number): Promise<void>;
}

/**
 * Opens the engine, listens, and starts everything. Rejects with what `openEngine` throws, or with a `ClientError` for
 * an address or a certificate that cannot be used.
 */
export async function startServer(options: ServerOptions): Promise<Server> {
  const { config, secret, clock, log, leaseMs = LEASE_MS } = options;
  const metrics = new Metrics();
  const events = new TaskEvents(metrics, clock);
  const engine = await openReporting(options, events);
  const listeners = await listen(config, engine);
  const base: Base = { ...options, leaseMs, metrics, events, engine };
  const dispatch = createDispatch(base);
  const api = createApi(base, dispatch);

  const started = Promise.withResolvers<void>();
  const door = createDoor(base, dispatch, api, {
    listeners,
    onOwnPool: started.resolve,
    endOwn: (pid) => pool?.kill(pid),
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
  for (const service of servicesOf(dispatch, api)) service.start();

  let stopped: Promise<void> | undefined;
  return {
    address,
    workersStarted: started.promise,
    stop: (graceMs) => stopped ??= stopServer(base, { dispatch, api, door, pool }, graceMs),
  };
}

/** The options of a server, and the parts that all others need. */
interface Base extends ServerOptions {
  readonly leaseMs: number;
  readonly metrics: Metrics;
  readonly events: TaskEvents;
  readonly engine: Engine;
}

/** Opens the engine. Its sink is the one place where ends become news: no other part of the server calls `emit`. */
async function openReporting(
  { openEngine, clock, log }: ServerOptions,
  events: TaskEvents,
): Promise<Engine> {
  const engine = await openEngine((tasks) => {
    try {
      events.emit(tasks);
    } catch (error) {
      log.bug("server", error);
    }
  });
  if (engine.lastAt !== undefined) clock.reach(engine.lastAt);
  return engine;
}

type Dispatch = ReturnType<typeof createDispatch>;

/** The parts that hand tasks to worker processes and take what they report. */
function createDispatch({ config, engine, events, clock, log, leaseMs, metrics }: Base) {
  const ops = new OpDirectory(config.workers > 0, () => clock.awake());
  const pauses = new Pauses({
    settings: engine.settings,
    onResumed: () => dispatcher.kick(),
    leased: () => dispatcher.leased(),
  });
  const dispatcher: Dispatcher = new Dispatcher({
    engine,
    events,
    clock,
    log,
    leaseMs,
    pauses,
    bounds: ops,
  });
  return {
    ops,
    pauses,
    dispatcher,
    schemas: new SchemaChecks({ ops, clock }),
    reports: new ResultReports({ engine, events, dispatcher, clock, log, leaseMs }),
    reclaimer: createReclaimer({ engine, dispatcher, clock, log, leaseMs }),
    watchdog: createWatchdog({ engine, dispatcher, clock, log, metrics }),
  };
}

type Api = ReturnType<typeof createApi>;

/** The use cases that the door serves, and the services behind them. */
function createApi(base: Base, { ops, pauses, dispatcher, schemas }: Dispatch) {
  const { engine, events, clock, log, metrics, limits, version } = base;
  const { settings, serials } = engine;
  const entry = new TaskEntry({ engine, events, dispatch: dispatcher, clock, metrics, limits });
  const book = new CronBook(settings, (message) => log.warn("scheduler", message));
  const scheduler: Scheduler = new Scheduler({
    book,
    clock,
    log,
    serials,
    submit: (tasks) => entry.submit(tasks),
    defaultsOf: (op) => ops.get(op)?.defaults,
  });
  const recurringOps = () => book.list().map(({ task }) => task.op);
  const check = new SubmitCheck({ engine, ops, schemas });
  const reads = new TaskReads({
    engine,
    running: dispatcher,
    ops,
    pauses,
    entry,
    metrics,
    clock,
    version,
  });
  const takers = [pauses, ...cronTakers({ settings, serials, book, scheduler })];
  const cases: UseCases = {
    reads,
    tasks: new TaskApi({ engine, reads, events, clock, dispatch: dispatcher }),
    crons: new CronApi({ book, entry, clock, serials, check, scheduler }),
    transfer: new Transfer({ engine, entry, takers, clock }),
    pauses,
  };
  const janitor = createJanitor({ engine, clock, log, ops, recurringOps });
  return { entry, scheduler, check, cases, janitor };
}

interface DoorParts {
  readonly listeners: Listeners;
  /** Called when the server's own worker process has joined. */
  readonly onOwnPool: () => void;
  /** Kills an own worker process; another takes its place. */
  readonly endOwn: (pid: number) => void;
}

/** The door: takes connections of clients and of worker processes. */
function createDoor(
  base: Base,
  { dispatcher, ops, schemas, reports }: Dispatch,
  { cases, check, entry }: Api,
  { listeners, onOwnPool, endOwn }: DoorParts,
): TcpDoor {
  const { config, engine, events, clock, secret, leaseMs, limits, version, log, metrics } = base;
  return new TcpDoor({
    listeners,
    tls: config.tls,
    cases,
    route: { engine, check, entry, events, clock },
    auth: new Auth(config.tokens),
    secret,
    leaseMs,
    limits,
    version,
    log,
    metrics,
    reports,
    links: linkEvents({ events, dispatcher, ops, schemas, log, onOwnPool, endOwn }),
  });
}

/** The services that start with the server, in their order. */
function servicesOf({ dispatcher, reclaimer, watchdog }: Dispatch, { scheduler, janitor }: Api) {
  return [dispatcher, scheduler, reclaimer, janitor, watchdog];
}

/** The parts of a running server that take part in its stop. */
interface Running {
  readonly dispatch: Dispatch;
  readonly api: Api;
  readonly door: TcpDoor;
  readonly pool: PoolSupervisor | undefined;
}

/** Refuses new tasks, lets running ones finish for `graceMs`, commits their ends, and closes everything. */
async function stopServer(
  { engine, clock, log }: Base,
  { dispatch, api, door, pool }: Running,
  graceMs: number,
): Promise<void> {
  const { dispatcher } = dispatch;
  const deadline = clock.awake() + graceMs;
  api.entry.close();
  dispatch.schemas.stop();
  dispatch.ops.giveUpWaiting();
  await door.stopAccepting();
  await api.scheduler.stop();
  await dispatcher.stop();
  // Tasks that were handed out and have not begun would be given back by a pool that stops: they can begin first.
  await untilIdle(dispatcher, clock, Math.min(deadline, clock.awake() + STOP_BEGIN_MS));
  await Promise.all([
    // If its process got the signal too, it would use a grace period of its own, 10 s.
    pool?.stop(Math.max(0, deadline - clock.awake())),
    untilIdle(dispatcher, clock, deadline),
  ]);
  await Promise.all([dispatch.reclaimer.stop(), api.janitor.stop(), dispatch.watchdog.stop()]);
  // Results that arrived are committed, and reported to the clients that wait for them.
  const commitBy = clock.awake() + STOP_COMMIT_MS;
  const commit = () =>
    inTime(
      clock,
      commitBy - clock.awake(),
      Promise.all([dispatch.reports.settled(), api.entry.settled()]),
    );
  const isCommitted = await commit();
  if (!isCommitted) log.warn("server", NOT_COMMITTED);
  await door.close();
  if (isCommitted) await commit();
  await engine.close();
}

/** Opens the sockets; an address that cannot be had is for the operator to change. */
async function listen(config: ServeConfig, engine: Engine): Promise<Listeners> {
  const { hostname, port } = config;
  try {
    return openListeners(config);
  } catch (error) {
    await engine.close();
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

/** Resolves when no worker process holds a task, or at the deadline. */
async function untilIdle(dispatcher: Dispatcher, clock: Clock, deadline: number): Promise<void> {
  const isBusy = () => dispatcher.runners.some((runner) => runner.held > 0);
  while (isBusy() && clock.awake() < deadline) {
    await new Promise<void>((resolve) => clock.after(STOP_LOOK_MS, resolve));
  }
}

/** Whether `work` is done within `ms`. */
function inTime(clock: Clock, ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const forget = clock.after(ms, () => resolve(false));
    work.then(() => resolve(true), reject).finally(forget);
  });
}
