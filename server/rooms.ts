/**
 * The rooms of a server: its engine, and the parts that work while this server decides: dispatcher, scheduler, janitor, use
 * cases and sessions. They can be opened and closed several times in one process, one after the other. The doors before
 * them stay open. `server.ts` and `cluster_server.ts` open them; here stands which part gets which other, and the order of their start and stop.
 */

import { SdError } from "../protocol/errors.ts";
import type { ServerHealth, ServerView } from "../protocol/task.ts";
import type { Bridge } from "./bridge/bridge.ts";
import type { IntakeUrl } from "./bridge/intake_url.ts";
import type { Inbox } from "./bridge/sql_intake.ts";
import { Auth } from "./api/auth.ts";
import { CronApi } from "./api/cron_api.ts";
import { cronTakers } from "./api/cron_transfer.ts";
import { Transfer } from "./api/export_import.ts";
import type { UseCases } from "./api/operations.ts";
import { SubmitCheck } from "./api/submit_check.ts";
import type { SubmitRoute } from "./api/submit_flow.ts";
import { TaskApi } from "./api/task_api.ts";
import { TaskEntry } from "./api/task_entry.ts";
import { TaskReads } from "./api/task_reads.ts";
import type { Clock } from "./clock.ts";
import type { ServeConfig } from "./config.ts";
import { Dispatcher } from "./dispatch/dispatcher.ts";
import { OpDirectory } from "./dispatch/op_directory.ts";
import { Pauses } from "./dispatch/pauses.ts";
import { PoolNotes } from "./dispatch/pool_notes.ts";
import { ResultReports } from "./dispatch/results.ts";
import { Scheduler } from "./dispatch/scheduler.ts";
import { SchemaChecks } from "./dispatch/schema_checks.ts";
import { createJanitor, createReclaimer } from "./dispatch/upkeep.ts";
import { createWatchdog } from "./dispatch/watchdog.ts";
import { CronBook } from "./engine/cron_book.ts";
import type { EndedSink, Engine } from "./engine/engine.ts";
import type { ServerLimits } from "./limits.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { TaskEvents } from "./task/task_events.ts";
import { Reception } from "./tcp/reception.ts";
import { linkEvents } from "./worker_processes.ts";

export interface RoomsOptions {
  readonly config: ServeConfig;
  /** Opens the engine, which reports to `ended` from its opening on. */
  readonly openEngine: (ended: EndedSink) => Engine | Promise<Engine>;
  /** The message servers that tasks come from. */
  readonly intakes?: readonly IntakeUrl[];
  /** Tasks that clients put into the store; see `Lead`. */
  readonly inbox?: Inbox | undefined;
  readonly secret: string;
  readonly limits: ServerLimits;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  /** Time from the last sign of life of a worker process to the end of its leases, in ms. */
  readonly leaseMs: number;
  readonly metrics: Metrics;
  /** The answer to `health`: the role of this server, and whether it is about to stop. */
  readonly health: () => ServerHealth;
  /** The servers of the cluster; default: the server is alone. */
  readonly servers?: () => readonly ServerView[];
  /** Called when the server's own worker process has joined. */
  readonly onOwnPool: () => void;
  /** Kills an own worker process; another takes its place. */
  readonly endOwn: (pid: number) => void;
}

export interface Rooms {
  /** Serves the connections of clients and of worker processes. */
  readonly reception: Reception;
  /** Starts the services: from now on tasks run. */
  start(): void;
  /**
   * Refuses new tasks, lets running ones finish for `graceMs`, commits their ends, and closes everything, the connections
   * too. `stopWorkers` stops the server's own worker processes, which finish what they run for at most `ms`.
   */
  close(graceMs: number, stopWorkers: (ms: number) => Promise<void> | undefined): Promise<void>;
  /** Cuts all connections without a word, and throws everything away that is not committed. For a lead that is lost. */
  drop(): Promise<void>;
}

/** How long a stopping server lets its workers begin what they were handed, in ms. */
const STOP_BEGIN_MS = 5000;
/** How often a stopping server looks whether its tasks have finished. */
const STOP_LOOK_MS = 10;
/** Longest wait for the last commits of a server that stops, in ms. A full disk may stay full for hours. */
const STOP_COMMIT_MS = 3000;
const NOT_COMMITTED =
  "the disk does not take the ends of some tasks: they run again when the server starts";

/** Opens the engine, and makes everything around it. Rejects with what `openEngine` throws. */
export async function openRooms(options: RoomsOptions): Promise<Rooms> {
  const events = new TaskEvents(options.metrics, options.clock);
  const log = new RoomLog(options.log);
  const engine = await openReporting({ ...options, log }, events);
  try {
    return await furnish({ ...options, log, events, engine }, log);
  } catch (error) {
    // Nothing else would end its timers and its commits.
    await engine.close();
    throw error;
  }
}

/** Makes everything around the engine. */
async function furnish(base: Base, log: RoomLog): Promise<Rooms> {
  const dispatch = createDispatch(base);
  dispatch.notes.begin();
  const api = createApi(base, dispatch);
  const reception = createReception(base, dispatch, api);
  const bridge = await bridgeOf(base, api);
  return {
    reception,
    start() {
      for (const service of servicesOf(dispatch, api)) service.start();
      reception.start();
      bridge?.start();
    },
    close: (graceMs, stopWorkers) =>
      closeRooms(base, { dispatch, api, reception, bridge, stopWorkers }, graceMs),
    drop() {
      log.isDropped = true;
      return dropRooms(base, { dispatch, api, reception, bridge });
    },
  };
}

/** The options, and the parts that all others need. */
interface Base extends RoomsOptions {
  readonly events: TaskEvents;
  readonly engine: Engine;
}

/** The log of the rooms. Once they are dropped, requests that the engine could not end are no bugs. */
class RoomLog implements Log {
  isDropped = false;
  readonly #log: Log;

  constructor(log: Log) {
    this.#log = log;
  }

  readonly info = (room: string, message: string) => this.#log.info(room, message);
  readonly warn = (room: string, message: string) => this.#log.warn(room, message);
  readonly error = (room: string, message: string) => this.#log.error(room, message);
  readonly bug = (room: string, error: unknown) => {
    const isOfTheEnd = error instanceof SdError && error.code === "shutting_down";
    if (!this.isDropped || !isOfTheEnd) this.#log.bug(room, error);
  };
}

/** Opens the engine. Its sink is the one place where ends become news: no other part of the server calls `emit`. */
async function openReporting(
  { openEngine, clock, log }: RoomsOptions,
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
function createDispatch({ config, engine, events, clock, log, leaseMs, limits, metrics }: Base) {
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
    notes: new PoolNotes({ engine, clock, log, holdMs: limits.holdMs }),
    schemas: new SchemaChecks({ ops, clock }),
    reports: new ResultReports({ engine, events, dispatcher, clock, log, leaseMs }),
    reclaimer: createReclaimer({ engine, dispatcher, clock, log, leaseMs }),
    watchdog: createWatchdog({ engine, dispatcher, clock, log, metrics }),
  };
}

type Api = ReturnType<typeof createApi>;

/** The use cases that clients have, and the services behind them. */
function createApi(base: Base, { ops, pauses, dispatcher, schemas }: Dispatch) {
  const { engine, events, clock, log, metrics, limits, version, servers } = base;
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
    servers,
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

/** The way of submits, whatever door they come by. */
function routeOf({ engine, events, clock }: Base, { check, entry }: Api): SubmitRoute {
  return { engine, check, entry, events, clock };
}

/** The sources of tasks beside clients, if the server has any. */
async function bridgeOf(base: Base, api: Api): Promise<Bridge | undefined> {
  const { intakes = [], inbox } = base;
  if (intakes.length === 0 && !inbox) return undefined;
  const { openBridge } = await import("./bridge/bridge.ts");
  return await openBridge({ intakes, inbox, parts: { ...base, route: routeOf(base, api) } });
}

/** Takes connections of clients and of worker processes. */
function createReception(
  base: Base,
  { dispatcher, notes, ops, schemas, reports }: Dispatch,
  api: Api,
): Reception {
  const { config, events, log, onOwnPool, endOwn } = base;
  return new Reception({
    ...base,
    cases: api.cases,
    route: routeOf(base, api),
    auth: new Auth(config.tokens),
    reports,
    links: linkEvents({ events, dispatcher, notes, ops, schemas, log, onOwnPool, endOwn }),
  });
}

/** The services that start with the server, in their order. */
function servicesOf(
  { dispatcher, notes, reclaimer, watchdog }: Dispatch,
  { scheduler, janitor }: Api,
) {
  return [dispatcher, scheduler, reclaimer, janitor, watchdog, notes];
}

/** The parts that take part in a close. */
interface Closing {
  readonly dispatch: Dispatch;
  readonly api: Api;
  readonly reception: Reception;
  readonly bridge: Bridge | undefined;
  readonly stopWorkers: (ms: number) => Promise<void> | undefined;
}

async function closeRooms(
  { engine, clock, log }: Base,
  { dispatch, api, reception, bridge, stopWorkers }: Closing,
  graceMs: number,
): Promise<void> {
  const { dispatcher } = dispatch;
  const deadline = clock.awake() + graceMs;
  api.entry.close();
  dispatch.schemas.stop();
  dispatch.ops.giveUpWaiting();
  reception.drain();
  await bridge?.stopTaking();
  await api.scheduler.stop();
  await dispatcher.stop();
  // Tasks that were handed out and have not begun would be given back by a pool that stops: they can begin first.
  await untilIdle(dispatcher, clock, Math.min(deadline, clock.awake() + STOP_BEGIN_MS));
  await Promise.all([
    // If its process got the signal too, it would use a grace period of its own, 10 s.
    stopWorkers(Math.max(0, deadline - clock.awake())),
    untilIdle(dispatcher, clock, deadline),
  ]);
  await Promise.all([dispatch.reclaimer.stop(), api.janitor.stop(), dispatch.watchdog.stop()]);
  // Results that arrived are committed, and reported to the clients that wait for them.
  dispatch.reports.isStopping = true;
  const noted = dispatch.notes.close();
  const commitBy = clock.awake() + STOP_COMMIT_MS;
  const commit = () =>
    inTime(
      clock,
      commitBy - clock.awake(),
      Promise.all([noted, dispatch.reports.settled(), api.entry.settled()]),
    );
  const isCommitted = await commit();
  if (!isCommitted) log.warn("server", NOT_COMMITTED);
  await reception.close();
  if (isCommitted) await commit();
  await bridge?.close();
  await engine.close();
}

async function dropRooms(
  { engine }: Base,
  { dispatch, api, reception, bridge }: Omit<Closing, "stopWorkers">,
): Promise<void> {
  const dropped = Promise.all([reception.drop(), bridge?.drop()]);
  api.entry.close();
  dispatch.schemas.stop();
  dispatch.ops.giveUpWaiting();
  const { dispatcher, notes, reclaimer, watchdog } = dispatch;
  const services = [api.scheduler, dispatcher, reclaimer, api.janitor, watchdog, notes];
  const stopped = services.map((service) => service.stop());
  // After a lost lead the engine settles nothing of what they wait for before it is closed.
  await engine.close();
  await Promise.all([dropped, ...stopped]);
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
