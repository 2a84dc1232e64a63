/** Watching a server: every turn in the life of its tasks, as it happens. */

import { MAX_UNREAD_EVENTS } from "../protocol/limits.ts";
import type { WatchEvent } from "../protocol/task.ts";
import type { RawClient } from "./raw_client.ts";
import type { Abortable } from "./connection/call_options.ts";
import { deferred, handled } from "./connection/promises.ts";

/** Which tasks to be told of; all, where nothing is named. */
export interface WatchFilter {
  taskId?: string;
  op?: string;
}

export interface Watching {
  /** Resolves after `stop`; rejects when the connection is lost. It may be left alone. */
  readonly ended: Promise<void>;
  /** Nothing more is told from now on. */
  stop(): Promise<void>;
}

/** Watches that are open: the server ends all of a connection together. */
const open = new WeakMap<RawClient, number>();

/**
 * Calls `onEvent` for everything that happens to the tasks of `filter` from now on. Resolves once the
 * server watches. Who is too slow to read loses events, and is told so by one of `dropped`. With `resumes`
 * a connection that is lost and made again is no end: another `dropped`, without a count, stands for what
 * happened meanwhile.
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
  // Whoever wants to know of the end awaits it.
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

/** Watches from when it is made until it is left: by `break`, `return`, its signal, or the end of its client. */
export class EventStream implements AsyncIterableIterator<WatchEvent> {
  readonly #watching: Promise<Watching>;
  readonly #signal: AbortSignal | undefined;
  readonly #abort = () => this.#end({ fault: this.#signal?.reason });
  #events: WatchEvent[] = [];
  /** Events that came when there was no room for them, after the last of `#events`. */
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

  async next(): Promise<IteratorResult<WatchEvent, undefined>> {
    for (;;) {
      const value = this.#events.shift() ?? this.#takeDropped();
      if (value) return { done: false, value };
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#isOver) return { done: true, value: undefined };
      await this.#news.promise;
    }
  }

  /** Nothing more is told from now on. Resolves once the server has been told. */
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
    // Where the connection is what ended, there is nobody left to tell.
    this.#stopped = this.#watching.then((watching) => watching.stop()).catch(() => undefined);
  }

  #wake(): void {
    this.#news.resolve();
    this.#news = deferred();
  }
}
