/** Watching a server: the events of its tasks, by a callback for the commands and as a stream for `Client.watch`. */

import { MAX_UNREAD_EVENTS } from "../protocol/limits.ts";
import type { WatchEvent } from "../protocol/task.ts";
import type { RawClient } from "./raw_client.ts";
import type { Abortable } from "./connection/call_options.ts";
import { deferred, handled } from "./connection/promises.ts";

/** The tasks to watch; default: all. */
export interface WatchFilter {
  /** Only the events of this task. */
  taskId?: string;
  /** Only the events of tasks of this op. */
  op?: string;
}

/** A watch that is open. */
interface Watching {
  /** Resolves after `stop`; rejects when the connection is lost. It can be left alone. */
  readonly ended: Promise<void>;
  /** Ends the watch: no event is reported after it. */
  stop(): Promise<void>;
}

/** Number of open watches by client: the server can only end all watches of a connection together. */
const open = new WeakMap<RawClient, number>();

/**
 * Calls `onEvent` for each event of the tasks of `filter` from now on. Resolves once the server watches. A `dropped`
 * event stands for events that the connection was too slow for. With `resumes`, the watch goes on after a lost
 * connection; then a `dropped` event without a count stands for events that were missed.
 */
export async function watch(
  client: RawClient,
  { taskId, op }: WatchFilter,
  onEvent: (event: WatchEvent) => void,
  { resumes = false }: { resumes?: boolean } = {},
): Promise<Watching> {
  const on = deferred<void>();
  const stopped = deferred<void>();
  let isOn = false;
  let isStopped = false;
  const replies = client.replies(
    {
      cmd: "watch",
      ...(taskId === undefined ? {} : { task_id: taskId }),
      ...(op === undefined ? {} : { op }),
    },
    (reply) => {
      const isAgain = reply.watch === "on" && isOn;
      if (isStopped) return true;
      if (isAgain) onEvent({ event: "dropped", at: new Date().toISOString() });
      else if (reply.watch !== "on") onEvent(reply as unknown as WatchEvent);
      if (reply.watch === "on") {
        isOn = true;
        on.resolve();
      }
      return false;
    },
    { resumes: () => resumes && !isStopped },
  );
  // Callers see a failure through `ended`.
  replies.catch(() => undefined);
  await Promise.race([on.promise, replies]);
  open.set(client, (open.get(client) ?? 0) + 1);
  return {
    ended: handled(Promise.race([replies, stopped.promise])),
    async stop() {
      if (isStopped) return;
      isStopped = true;
      stopped.resolve();
      const left = (open.get(client) ?? 1) - 1;
      open.set(client, left);
      if (left === 0) await client.ask({ cmd: "unwatch" });
    },
  };
}

/**
 * The events of a watch, for `for await`. Events wait here until they are read, up to a limit. The watch ends by
 * `break`, by its signal, or with its client.
 */
export class EventStream implements AsyncIterableIterator<WatchEvent> {
  readonly #watching: Promise<Watching>;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#end({ fault: this.#signal?.reason });
  #events: WatchEvent[] = [];
  /** Number of events that found no room, after the last of `#events`. */
  #dropped = 0;
  #news = deferred<void>();
  #isOver = false;
  #fault: unknown;
  #stopped: Promise<void> | undefined;

  constructor(client: RawClient, { signal, ...filter }: WatchFilter & Abortable) {
    this.#signal = signal;
    this.#watching = watch(client, filter, (event) => this.#take(event), { resumes: true });
    this.#watching.then(({ ended }) => ended)
      .then(() => this.#end({}), (fault: unknown) => this.#end({ fault }));
    if (signal?.aborted) this.#abort();
    else signal?.addEventListener("abort", this.#abort, { once: true });
  }

  /** The next event; waits for it. */
  async next(): Promise<IteratorResult<WatchEvent, undefined>> {
    for (;;) {
      const value = this.#events.shift() ?? this.#takeDropped();
      if (value) return { done: false, value };
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#isOver) return { done: true, value: undefined };
      await this.#news.promise;
    }
  }

  /** Ends the watch. Resolves once the server has ended it too. */
  async return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.#end({});
    this.#events = [];
    this.#dropped = 0;
    await this.#stopped;
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #take(event: WatchEvent): void {
    if (this.#events.length >= MAX_UNREAD_EVENTS) {
      this.#dropped++;
      return;
    }
    const dropped = this.#takeDropped();
    if (dropped) this.#events.push(dropped);
    this.#events.push(event);
    this.#wake();
  }

  #takeDropped(): WatchEvent | undefined {
    if (this.#dropped === 0) return undefined;
    const count = this.#dropped;
    this.#dropped = 0;
    return { event: "dropped", at: new Date().toISOString(), count };
  }

  #end({ fault }: { fault?: unknown }): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#fault = fault;
    this.#signal?.removeEventListener("abort", this.#abort);
    this.#wake();
    // If the connection has ended, so has the watch at the server.
    this.#stopped = this.#watching.then((watching) => watching.stop()).catch(() => undefined);
  }

  #wake(): void {
    this.#news.resolve();
    this.#news = deferred();
  }
}
