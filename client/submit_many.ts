/**
 * `Client.submitMany`: tasks from an iterable, which is read only as far as there is room, and their ends as they
 * come. A task gives its slot back when its end has been read, so that a slow reader slows the sending down.
 */

import { ClientError } from "../net/client_error.ts";
import { type ErrorBody, errorBody } from "../protocol/errors.ts";
import type { Abortable, CallOptions } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";
import type { TaskEnd } from "./task/task_end.ts";
import { taskLine } from "./task/task_line.ts";
import { type SendOutcome, TaskSender } from "./task_sender.ts";

/** Default for `inFlight`. */
const IN_FLIGHT = 1000;

/** A task for `submitMany`. */
export interface ManyTask<Op extends string = string, Args = object> {
  readonly op: Op;
  /** The arguments of its handler. */
  readonly args?: Args;
  /** The options of the task; times in ms. */
  readonly options?: Omit<CallOptions, "signal" | "wait">;
}

/**
 * The end of a task of `submitMany`. `index` is its place in the iterable, counted from 0. `refused`: the server did not
 * take it; `lost`: the server took it and no longer knows it, so it can have run.
 */
export type ManyEnd<Result = unknown> =
  & { readonly index: number }
  & (TaskEnd<Result> | { status: "refused" | "lost"; error: ErrorBody });

/** Options of `submitMany`. */
export interface ManyOptions extends Abortable {
  /** Most tasks that are submitted and whose end has not been read; default 1000. */
  inFlight?: number;
}

type Tasks = Iterable<ManyTask> | AsyncIterable<ManyTask>;

/** See `Client.submitMany`. */
export async function* submitMany(
  raw: RawClient,
  tasks: Tasks,
  { inFlight = IN_FLIGHT, signal }: ManyOptions = {},
): AsyncGenerator<ManyEnd, void, undefined> {
  signal?.throwIfAborted();
  const run = new ManyRun(raw, inFlight);
  const abort = () => run.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  // Not awaited: it can wait for a task that never comes.
  void run.readAll(tasks);
  try {
    for (let ends = await run.next(); ends !== undefined; ends = await run.next()) {
      for (const end of ends) {
        run.read();
        yield end;
        if (run.isOver) break;
      }
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    run.stop();
  }
}

/** A task that was read. */
interface Item {
  readonly index: number;
  readonly id: string;
}

class ManyRun {
  readonly #raw: RawClient;
  readonly #sender: TaskSender<Item>;
  /** Acknowledged and not final. */
  readonly #running = new Set<string>();
  #ends: ManyEnd[] = [];
  #wakeReader: (() => void) | undefined;
  #unfinished = 0;
  #isRead = false;
  #isOver = false;
  #isAborted = false;
  #fault: { reason: unknown } | undefined;

  constructor(raw: RawClient, inFlight: number) {
    if (!(inFlight >= 1)) {
      throw new ClientError("usage", `inFlight is a number from 1; this is ${inFlight}`);
    }
    this.#raw = raw;
    this.#sender = new TaskSender({
      raw,
      maxInFlight: inFlight,
      taken: ({ id }) => {
        this.#running.add(id);
        if (this.#isAborted) raw.abandon(id);
      },
      ended: (item, outcome) => this.#ended(item, outcome),
    });
  }

  /** Submits every task; resolves once the last was sent, or the run is stopped. */
  async readAll(tasks: Tasks): Promise<void> {
    const sender = this.#sender;
    let index = 0;
    try {
      // Before the first task is read, so that none is read that would wait here.
      while (sender.full) await sender.full;
      for await (const task of tasks) {
        if (sender.isStopped) break;
        this.#send(index++, task);
        while (sender.full) await sender.full;
        if (sender.isStopped) break;
      }
    } catch (reason) {
      // The ends of the tasks before the fault are reported first.
      this.#fault ??= { reason };
    }
    this.#isRead = true;
    this.#wake();
  }

  /** No further end is reported. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The ends so far, once there are some; `undefined` after the last. Throws the error that ended the run. */
  async next(): Promise<ManyEnd[] | undefined> {
    while (!this.#isOver) {
      if (this.#ends.length > 0) {
        const ends = this.#ends;
        this.#ends = [];
        return ends;
      }
      if (this.#isRead && this.#unfinished === 0) break;
      await new Promise<void>((resolve) => this.#wakeReader = resolve);
    }
    if (this.#fault) throw this.#fault.reason;
  }

  /** An end was read, so another task can be sent. */
  read(): void {
    this.#sender.release();
  }

  /** Submits nothing more; tasks in flight go on. */
  stop(): void {
    this.#sender.stop();
  }

  /** Cancels the tasks in flight and submits nothing more. */
  abort(reason: unknown): void {
    this.#isAborted = true;
    this.#fail(reason);
    for (const id of this.#running) this.#raw.abandon(id);
  }

  #send(index: number, { op, args, options = {} }: ManyTask): void {
    try {
      // A caller without types may have set it.
      const { wait: _, ...awaited } = options as CallOptions;
      const line = taskLine(op, args, awaited);
      this.#sender.take();
      this.#unfinished++;
      this.#sender.send({ index, id: line.id }, line);
    } catch (error) {
      this.#fail(error);
    }
  }

  #ended({ index, id }: Item, outcome: SendOutcome): void {
    this.#running.delete(id);
    this.#unfinished--;
    switch (outcome.status) {
      case "refused":
      case "lost":
        this.#ends.push({ index, status: outcome.status, error: errorBody(outcome.error) });
        break;
      case "unknown":
        return this.#fail(outcome.error);
      case "submitted":
      case "unsent":
        break;
      default:
        this.#ends.push({ index, ...outcome });
    }
    this.#wake();
  }

  /** Ends the run at once. */
  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fault = { reason };
    this.#sender.stop();
    this.#wake();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }
}
