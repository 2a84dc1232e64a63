/**
 * Tasks without end through one client: read from an iterable as there is room for them, so many in flight, and
 * told as they end. A task gives its room back when its end has been read, so neither the tasks nor their ends
 * gather in memory, whoever of reader and server is the slower one.
 */

import { delay } from "@std/async/delay";
import { ClientError } from "../net/client_error.ts";
import { type ErrorBody, errorBody, SdError } from "../protocol/errors.ts";
import type { Abortable, CallOptions } from "./connection/call_options.ts";
import { Semaphore } from "./task/semaphore.ts";
import type { Submitted } from "./task/submitted.ts";
import type { TaskEnd } from "./task/task_end.ts";

const IN_FLIGHT = 1000;

/** A task to submit: its op, its arguments, its options. */
export interface ManyTask<Op extends string = string, Args = object> {
  readonly op: Op;
  readonly args?: Args;
  readonly options?: Omit<CallOptions, "signal" | "wait">;
}

/**
 * What became of the task that was read as number `index`, counted from 0. `refused`: it never was one;
 * `lost`: the server came back without it, and it may have run.
 */
export type ManyEnd<Result = unknown> =
  & { readonly index: number }
  & (TaskEnd<Result> | { status: "refused" | "lost"; error: ErrorBody });

export interface ManyOptions extends Abortable {
  /** Tasks that are submitted and whose end has not been read; default 1000. */
  inFlight?: number;
}

/** What it takes of a client. */
export interface Submits {
  submit(op: string, args?: object, options?: CallOptions): Promise<Submitted>;
  cancel(id: string): Promise<unknown>;
}

type Tasks = Iterable<ManyTask> | AsyncIterable<ManyTask>;

/** See `Client.submitMany`. */
export async function* submitMany(
  client: Submits,
  tasks: Tasks,
  { inFlight = IN_FLIGHT, signal }: ManyOptions = {},
): AsyncGenerator<ManyEnd, void, undefined> {
  signal?.throwIfAborted();
  const run = new Run(client, inFlight);
  const abort = () => run.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  // It may wait for a task that never comes, so nobody waits for its end.
  void run.readAll(tasks);
  try {
    for (let ends = await run.next(); ends !== undefined; ends = await run.next()) {
      for (const end of ends) {
        run.told();
        yield end;
        if (run.isOver) break;
      }
    }
  } finally {
    signal?.removeEventListener("abort", abort);
    run.stop();
  }
}

class Run {
  readonly #client: Submits;
  readonly #slots: Semaphore;
  readonly #stopping = new AbortController();
  /** Acknowledged and not final. */
  readonly #running = new Set<string>();
  #ends: ManyEnd[] = [];
  #wakeReader: (() => void) | undefined;
  #unfinished = 0;
  #isRead = false;
  #isOver = false;
  #isAborted = false;
  #fault: { reason: unknown } | undefined;
  /** Shared by all that a full server has refused. */
  #pause: Promise<void> | undefined;

  constructor(client: Submits, inFlight: number) {
    if (!(inFlight >= 1)) {
      throw new ClientError("usage", `inFlight is a number from 1; this is ${inFlight}`);
    }
    this.#client = client;
    this.#slots = new Semaphore(inFlight);
  }

  /** Submits every task; resolves once the last was begun, or nobody wants more. */
  async readAll(tasks: Tasks): Promise<void> {
    let index = 0;
    try {
      // Room first: nothing is read that would have to wait here.
      await this.#slots.take();
      for await (const task of tasks) {
        if (this.#stopping.signal.aborted) break;
        this.#unfinished++;
        void this.#one(index++, task);
        await this.#slots.take();
        if (this.#stopping.signal.aborted) break;
      }
    } catch (reason) {
      // The tasks before the one that could not be read are told first.
      this.#fault ??= { reason };
    }
    this.#isRead = true;
    this.#wake();
  }

  /** Nothing more is to be told. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The ends that there are, once there are some; `undefined` after the last. Throws what ended the run. */
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

  /** An end has been read, and there is room for another task. */
  told(): void {
    this.#slots.release();
  }

  /** Submits nothing more; what is in flight goes on. */
  stop(): void {
    this.#stopping.abort();
    // Whoever waits for room sees that none is needed.
    this.#slots.release();
  }

  /** Cancels what is in flight and submits nothing more. */
  abort(reason: unknown): void {
    this.#isAborted = true;
    this.#fail(reason);
    for (const id of this.#running) this.#cancel(id);
  }

  async #one(index: number, task: ManyTask): Promise<void> {
    let id: string | undefined;
    try {
      const submitted = await this.#submit(task);
      id = submitted.id;
      this.#running.add(id);
      if (this.#isAborted) this.#cancel(id);
      const end = await submitted.end;
      this.#ends.push({ index, ...end });
    } catch (error) {
      if (error instanceof SdError) {
        const status = id === undefined ? "refused" : "lost";
        this.#ends.push({ index, status, error: errorBody(error) });
      } else this.#fail(error);
    }
    if (id !== undefined) this.#running.delete(id);
    this.#unfinished--;
    this.#wake();
  }

  /** A full server says when to try again; that is not the end of a task. */
  async #submit({ op, args, options }: ManyTask): Promise<Submitted> {
    for (;;) {
      try {
        return await this.#client.submit(op, args, options);
      } catch (error) {
        if (!(error instanceof SdError) || error.retryAfterMs === undefined) throw error;
        const { signal } = this.#stopping;
        this.#pause ??= delay(error.retryAfterMs, { signal }).finally(() => {
          this.#pause = undefined;
        });
        await this.#pause;
      }
    }
  }

  #cancel(id: string): void {
    // It may have ended just now, or its server be gone.
    this.#client.cancel(id).catch(() => undefined);
  }

  /** Ends the run: nothing more is told. */
  #fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fault = { reason };
    this.#stopping.abort();
    this.#wake();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeReader = undefined;
  }
}
