/**
 * The way of messages into the engine, over one connection to a message server. Everything that has arrived while batches
 * were under way forms the next one. A few of them wait for their commits at a time; they enter one after the other. A message is `taken` once its task is committed, and `refused` if it can never be a
 * task. Everything else is back-pressure: the connection pauses, the messages wait here in their order, and the intake tries
 * again, first after 50 ms, later once a second. So nothing is lost, and nothing spins.
 *
 * The id of a message is the id of its task. A message that is delivered again finds its task, which then runs no second time.
 */

import { SdError } from "../../protocol/errors.ts";
import { refusalOfTask, type SubmitRoute } from "../api/submit_flow.ts";
import type { Engine, Enqueued, TaskRecord } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import { isFinal } from "../../protocol/task.ts";
import { type NewTask, newTask } from "../task/new_task.ts";
import { type FinishedTask, openEnd, type Wait } from "../task/task_events.ts";
import type { Delivery, IntakeCounts } from "./message.ts";
import { readSubmit } from "./submit_of_message.ts";

/** The parts of a server that intakes work with. */
export interface IntakeServer {
  readonly engine: Pick<Engine, "serials" | "get">;
  readonly route: SubmitRoute;
  readonly log: Log;
}

interface TaskIntakeOptions {
  readonly server: IntakeServer;
  readonly counts: IntakeCounts;
  /** Stops and resumes the deliveries of the connection. */
  readonly flow: { pause(): void; resume(): void };
  /** Called with the reason while messages wait for room, and with nothing once all went in. */
  readonly onWaiting: (reason: SdError | undefined) => void;
  /** Publishes the end of a task that ended before, or that another message asked for; resolves once it is sent. */
  readonly reply: (route: string, body: string) => Promise<void>;
  /** Until then an unknown op is not refused: its workers may be on their way. In ms of `clock.awake()`. */
  readonly patientUntil: number;
}

/** Most messages, and characters of their bodies, that enter the engine together. */
const BATCH = 1024;
const BATCH_CHARS = 4 * 1024 * 1024;
/** Most batches that wait for their commits at a time, as long as all goes well. */
const MOST_BATCHES = 3;
/** Messages that try the engine first after it had no room. */
const PROBE = 16;
/** Shortest and longest time between two tries, in ms. */
const RETRY_MS = { first: 50, most: 1000 };
/** Time between two looks at messages whose op is not known yet, in ms. */
const UNKNOWN_MS = 500;
/** Times that a message may make the engine throw, alone in its batch, before it is refused. */
const MAX_THROWS = 3;

/** Reasons to wait, not to refuse. */
const PASSING = new Set(["queue_full", "storage_full", "shutting_down"]);

/** A message whose text was read. */
interface Entry {
  readonly delivery: Delivery;
  throws: number;
  /** It was taken or refused, or waits for its op. */
  isDone: boolean;
}

/** A batch on its way. */
interface UnderWay {
  readonly batch: readonly Entry[];
  /** Resolves once its tasks are in the engine, perhaps not committed, or can be no tasks. */
  readonly entered: Promise<void>;
  /** Resolves with the messages that must be tried again, once the others are settled. */
  readonly held: Promise<Entry[]>;
}

/** A message whose task existed before it. */
interface Existing {
  readonly entry: Entry;
  readonly id: string;
  readonly finished: FinishedTask | undefined;
  /** For a task that was not final. */
  readonly wait: Wait | undefined;
}

export class TaskIntake {
  readonly #options: TaskIntakeOptions;
  #waiting: Entry[] = [];
  /** Messages whose op no worker has yet. */
  #unknown: Entry[] = [];
  #size = BATCH;
  #running: Promise<void> | undefined;
  #arrived: PromiseWithResolvers<undefined> | undefined;
  /** It begins no further batch. */
  #isStopped = false;
  #isClosed = false;
  #isPaused = false;
  #wake: (() => void) | undefined;
  #forgetUnknown: (() => void) | undefined;

  constructor(options: TaskIntakeOptions) {
    this.#options = options;
  }

  /** Takes a message; it enters the engine with the next batch. */
  push(delivery: Delivery): void {
    if (this.#isStopped) return;
    this.#waiting.push({ delivery, throws: 0, isDone: false });
    this.#arrived?.resolve(undefined);
    this.#go();
  }

  /** Begins no further batch; resolves when the one under way is settled. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#waiting = [];
    this.#unknown = [];
    this.#forgetUnknown?.();
    this.#wake?.();
    await this.#running;
  }

  /** The connection has ended: its messages will come again. Twice is once. */
  close(): void {
    this.#isClosed = true;
    void this.stop();
  }

  #go(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      if (this.#waiting.length > 0) this.#go();
    });
  }

  async #run(): Promise<void> {
    const { route } = this.#options.server;
    let retryMs = RETRY_MS.first;
    const underWay: UnderWay[] = [];
    // All messages of one read of the socket go in together.
    await Promise.resolve();
    while (this.#waiting.length + underWay.length > 0) {
      const isSteady = !this.#isPaused && this.#size === BATCH;
      if (this.#waiting.length > 0 && underWay.length < (isSteady ? MOST_BATCHES : 1)) {
        if (route.check.ready) await this.#until(route.check.ready);
        const next = this.#begin(this.#takeBatch());
        underWay.push(next);
        await next.entered;
        continue;
      }
      const first = underWay[0]!;
      const held = await Promise.race([first.held, this.#arrival(underWay.length)]);
      if (!held) continue;
      underWay.shift();
      if (held.length === 0) {
        this.#size = Math.min(BATCH, this.#size * 2);
        retryMs = RETRY_MS.first;
        if (this.#waiting.length + underWay.length === 0) this.#relax();
        continue;
      }
      // Later messages keep their order.
      for (const { held: later } of underWay.splice(0)) held.push(...await later);
      if (this.#isStopped) return;
      this.#waiting = [...held, ...this.#waiting];
      if (held.length < first.batch.length) retryMs = RETRY_MS.first;
      await this.#sleep(retryMs);
      retryMs = Math.min(retryMs * 2, RETRY_MS.most);
    }
  }

  /** Resolves when a message has arrived that can form a batch beside `count` others; never if it cannot. */
  #arrival(count: number): Promise<undefined> {
    if (this.#isPaused || this.#size < BATCH || count >= MOST_BATCHES) return new Promise(() => {});
    this.#arrived = Promise.withResolvers();
    return this.#arrived.promise;
  }

  #begin(batch: readonly Entry[]): UnderWay {
    const entered = Promise.withResolvers<void>();
    const held = this.#submit(batch, entered.resolve).catch((error) => {
      this.#options.server.log.bug("intake", error);
      return this.#thrown(batch, error);
    });
    void held.then(() => entered.resolve());
    return { batch, entered: entered.promise, held };
  }

  #takeBatch(): Entry[] {
    let chars = 0;
    let count = 0;
    while (count < this.#waiting.length && count < this.#size && chars < BATCH_CHARS) {
      chars += this.#waiting[count++]!.delivery.body.length;
    }
    return this.#waiting.splice(0, count);
  }

  /** Submits a batch, and settles its messages; resolves with the messages that must be tried again. */
  async #submit(batch: readonly Entry[], entered: () => void): Promise<Entry[]> {
    const { route } = this.#options.server;
    const creation = {
      now: route.clock.now(),
      aheadMs: route.clock.aheadMs,
      serials: route.engine.serials,
    };
    let entries: Entry[] = [];
    let tasks: NewTask[] = [];
    const doubtful: number[] = [];
    const held: Entry[] = [];
    for (const entry of batch) {
      try {
        const { message, line } = readSubmit(entry.delivery);
        const known = route.check.knownOp(message.op);
        const task = newTask(message, line, creation, known?.defaults);
        if (route.check.isDoubtful(task, known)) doubtful.push(tasks.length);
        const { route: address } = entry.delivery;
        tasks.push(address === undefined ? task : { ...task, route: address });
        entries.push(entry);
      } catch (error) {
        this.#refuse(entry, error, held);
      }
    }
    if (doubtful.length > 0) {
      const refusals = await route.check.refusals(doubtful.map((i) => tasks[i]!));
      const refused = new Map(doubtful.flatMap((i, at) => refusals[at] ? [[i, refusals[at]]] : []));
      refused.forEach((reason, i) => this.#refuse(entries[i]!, reason, held));
      entries = entries.filter((_, i) => !refused.has(i));
      tasks = tasks.filter((_, i) => !refused.has(i));
    }
    if (tasks.length === 0) return held;
    route.entry.checkOpen();
    const entering = route.entry.submit(tasks);
    entered();
    const enqueued = await entering;
    await this.#settle({ entries, tasks, enqueued, held });
    return held;
  }

  async #settle({ entries, tasks, enqueued, held }: {
    entries: readonly Entry[];
    tasks: readonly NewTask[];
    enqueued: readonly Enqueued[];
    held: Entry[];
  }): Promise<void> {
    const existing: Existing[] = [];
    enqueued.forEach((kept, i) => {
      const entry = entries[i]!;
      const { outcome, finished } = kept;
      if (outcome === "exists" && entry.delivery.route !== undefined) {
        existing.push(this.#existing(entry, tasks[i]!.id, finished));
      } else if (outcome === "created" || outcome === "exists") {
        this.#take(entry);
      } else {
        const reason = refusalOfTask(kept, tasks[i]!, this.#options.server.route.entry);
        // Its commit failed: whatever the reason, the message itself is not at fault.
        if (outcome === "uncommitted") this.#hold(entries[i]!, reason, held);
        else this.#refuse(entries[i]!, reason, held);
      }
    });
    if (existing.length === 0) return;
    const { engine } = this.#options.server;
    const records = await engine.get(existing.map(({ id }) => id));
    existing.forEach((one, at) => this.#replyAgain(one, records[at]));
  }

  /** A message whose task existed. The wait begins before its record is read, so no end is missed. */
  #existing(entry: Entry, id: string, finished: FinishedTask | undefined): Existing {
    if (finished) return { entry, id, finished, wait: undefined };
    const { server: { route: { events } }, reply } = this.#options;
    const address = entry.delivery.route as string;
    const deliver = (end: FinishedTask) => {
      reply(address, openEnd(end) + "}").catch(() => {});
    };
    return { entry, id, finished, wait: events.wait(id, { closed: false, deliver }) };
  }

  /**
   * A client that sends a message again, perhaps from a new connection with a new address, gets the end there as well. The end
   * that is in the outbox already is not published twice for a message that only its message server delivered again.
   */
  #replyAgain({ entry, id, finished, wait }: Existing, record: TaskRecord | undefined): void {
    const { delivery } = entry;
    const { reply, server: { route: { events } } } = this.#options;
    const isKnown = record?.route === delivery.route;
    const end = finished ?? (wait?.isOpen ? finishedOf(record) : undefined);
    if (wait && (isKnown || end)) events.unwait(id, wait);
    if (!end || (isKnown && delivery.isRepeated)) return this.#take(entry);
    reply(delivery.route as string, openEnd(end) + "}").then(() => this.#take(entry), () => {});
  }

  #take(entry: Entry): void {
    entry.isDone = true;
    if (this.#isClosed) return;
    this.#options.counts.taken++;
    entry.delivery.taken();
  }

  /** Refuses a message, or puts it into `held` if the reason will pass. */
  #refuse(entry: Entry, error: unknown, held: Entry[]): void {
    if (this.#isClosed) return;
    const { server: { log, route }, counts, patientUntil } = this.#options;
    if (error instanceof SdError) {
      if (PASSING.has(error.code)) return this.#hold(entry, error, held);
      if (error.code === "unknown_op" && route.clock.awake() < patientUntil) {
        entry.isDone = true;
        this.#unknown.push(entry);
        this.#forgetUnknown ??= route.clock.after(UNKNOWN_MS, () => this.#lookAgain());
        return;
      }
    } else {
      log.bug("intake", error);
    }
    entry.isDone = true;
    counts.rejected++;
    entry.delivery.refused(
      error instanceof SdError ? error : new SdError("internal", "sd has a fault; see its log"),
    );
  }

  #hold(entry: Entry, reason: SdError, held: Entry[]): void {
    held.push(entry);
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#size = PROBE;
    this.#options.flow.pause();
    this.#options.onWaiting(reason);
  }

  #relax(): void {
    if (!this.#isPaused || this.#isStopped) return;
    this.#isPaused = false;
    this.#options.flow.resume();
    this.#options.onWaiting(undefined);
  }

  /** After an error that should not be: smaller batches find the message that causes it. */
  #thrown(whole: readonly Entry[], error: unknown): Entry[] {
    const batch = whole.filter(({ isDone }) => !isDone);
    const reason = error instanceof SdError ? error : new SdError("internal", String(error));
    this.#size = Math.max(1, whole.length >> 1);
    const [first] = batch;
    const isGuilty = batch.length === 1 && !PASSING.has(reason.code) &&
      ++first!.throws >= MAX_THROWS;
    const held: Entry[] = [];
    if (isGuilty) this.#refuse(first!, reason, held);
    else for (const entry of batch) this.#hold(entry, reason, held);
    return held;
  }

  #lookAgain(): void {
    this.#forgetUnknown = undefined;
    for (const entry of this.#unknown) this.#waiting.push({ ...entry, isDone: false });
    this.#unknown = [];
    this.#go();
  }

  /** Resolves after `ms`, or when the intake is closed. */
  async #sleep(ms: number): Promise<void> {
    const { clock } = this.#options.server.route;
    const { promise, resolve } = Promise.withResolvers<void>();
    const forget = clock.after(ms, resolve);
    await this.#until(promise);
    forget();
  }

  async #until(work: Promise<void>): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#wake = resolve);
    if (!this.#isStopped) await Promise.race([work, closed]);
    this.#wake = undefined;
  }
}

/** The end in a record; `undefined` if the task is not final. */
function finishedOf(record: TaskRecord | undefined): FinishedTask | undefined {
  if (!record || !isFinal(record.status)) return undefined;
  const { id, op, status, attempt, result, error } = record;
  return { id, op, status, attempt, result, error };
}
