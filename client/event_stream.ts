/** A watch that is read with `for await`: events wait here until they are, and not without end. */

import { MAX_UNREAD_EVENTS } from "../protocol/limits.ts";
import type { WatchEvent } from "../protocol/task.ts";
import type { Abortable } from "./connection/call_options.ts";
import type { RawClient } from "./raw_client.ts";
import { deferred } from "./connection/deferred.ts";
import { watch, type WatchFilter, type Watching } from "./watching.ts";

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
