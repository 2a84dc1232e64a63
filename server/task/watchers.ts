/**
 * The watches of this server's tasks: one event for each change of status, and for progress and log lines. A change of a task asks
 * `any` first: without a watch, it costs nothing more. Each watch buffers its events within bounds, so that a slow
 * reader loses events and delays no other client. Doors read a watch as an async iterable.
 */

import { SdError } from "../../protocol/errors.ts";
import type { WatchEvent } from "../../protocol/task.ts";
import { formatTime } from "../../protocol/text_forms.ts";
import type { Clock } from "../clock.ts";

/** Characters of events that the watches of one reader buffer together. */
const MAX_BUFFERED_CHARS = 1024 * 1024;
/** Events that one watch may lose before its reader has read on. */
const MAX_DROPPED_EVENTS = 1_000_000;

/** The task of an event. */
export interface WatchedTask {
  readonly id: string;
  readonly op: string;
  /** 0 before the first attempt. */
  readonly attempt: number;
}

export interface Watcher {
  wants(task: WatchedTask): boolean;
  /** Must not throw, and must not wait. */
  take(event: PublishedEvent): void;
}

/** An event for watches. Its JSON is made once for all of them. */
export class PublishedEvent {
  #json: string | undefined;

  constructor(readonly event: WatchEvent) {}

  get json(): string {
    return this.#json ??= JSON.stringify(this.event);
  }
}

/** The members that only some events have. */
type EventDetails = Pick<WatchEvent, "error" | "progress" | "log">;

export class Watchers {
  readonly #watchers = new Set<Watcher>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether there is a watch. */
  get any(): boolean {
    return this.#watchers.size > 0;
  }

  add(watcher: Watcher): void {
    this.#watchers.add(watcher);
  }

  remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
  }

  /** Reports an event of `task` to all watchers that want it. */
  publish(name: WatchEvent["event"], task: WatchedTask, details?: EventDetails): void {
    let event: PublishedEvent | undefined;
    for (const watcher of this.#watchers) {
      if (watcher.wants(task)) {
        watcher.take(event ??= new PublishedEvent(this.#event(name, task, details)));
      }
    }
  }

  #event(name: WatchEvent["event"], task: WatchedTask, details?: EventDetails): WatchEvent {
    return {
      event: name,
      at: formatTime(this.#clock.wall()),
      task_id: task.id,
      op: task.op,
      ...(task.attempt > 0 ? { attempt: task.attempt } : {}),
      ...(details?.error && { error: details.error }),
      ...(details?.progress && { progress: details.progress }),
      ...(details?.log && { log: details.log }),
    };
  }
}

/** The tasks whose events a watch reports; all tasks if neither member is set. */
export interface WatchScope {
  readonly taskId?: string;
  readonly op?: string;
}

/** The buffer that the watches of one reader share. */
export class WatchBuffer {
  /** Characters of events that wait for the reader. */
  chars = 0;
  /** Wakes the watches that lost events while their reader waited for them. */
  #waking: (() => void)[] = [];

  /** Calls `wake` when the reader next takes events. */
  onTaken(wake: () => void): void {
    this.#waking.push(wake);
  }

  /** The reader has taken events of `chars` characters. */
  taken(chars: number): void {
    this.chars -= chars;
    for (const wake of this.#waking.splice(0)) wake();
  }
}

interface WatchOptions {
  readonly watchers: Watchers;
  readonly scope: WatchScope;
  readonly buffer: WatchBuffer;
  readonly maxDropped?: number;
}

/**
 * A watch, from its making on, as the groups of events that came together. When its buffer is full it drops events,
 * until the reader has taken all before; then an event `dropped` says how many. A watch that drops very many ends
 * with `queue_full`, so that nothing more is done for it.
 */
export class Watch implements Watcher, AsyncIterableIterator<readonly PublishedEvent[]> {
  readonly #watchers: Watchers;
  readonly #scope: WatchScope;
  readonly #buffer: WatchBuffer;
  readonly #maxDropped: number;
  #events: PublishedEvent[] = [];
  /** Characters of `#events`. */
  #chars = 0;
  /** Events lost since the last one that was buffered. */
  #dropped = 0;
  #isOver = false;
  #wake: (() => void) | undefined;

  constructor({ watchers, scope, buffer, maxDropped = MAX_DROPPED_EVENTS }: WatchOptions) {
    this.#watchers = watchers;
    this.#scope = scope;
    this.#buffer = buffer;
    this.#maxDropped = maxDropped;
    watchers.add(this);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  wants({ id, op }: WatchedTask): boolean {
    const { taskId, op: wanted } = this.#scope;
    return (taskId === undefined || taskId === id) && (wanted === undefined || wanted === op);
  }

  take(event: PublishedEvent): void {
    if (this.#dropped > 0) {
      if (++this.#dropped === this.#maxDropped) this.#watchers.remove(this);
    } else if (this.#buffer.chars > MAX_BUFFERED_CHARS) {
      this.#dropped = 1;
      // Other watches fill the buffer. If the reader waits for this one, no event wakes it before they are taken.
      if (this.#wake) this.#buffer.onTaken(this.#wake);
    } else {
      this.#events.push(event);
      this.#chars += event.json.length;
      this.#buffer.chars += event.json.length;
      this.#wake?.();
    }
  }

  /** The events since the last call; waits until there is an event. Throws `queue_full`. */
  async next(): Promise<IteratorResult<readonly PublishedEvent[], undefined>> {
    for (;;) {
      if (this.#isOver) return { done: true, value: undefined };
      if (this.#events.length > 0) return { done: false, value: this.#taken() };
      if (this.#dropped > 0) return { done: false, value: [this.#droppedEvent()] };
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  /** Ends the watch. */
  return(): Promise<IteratorResult<readonly PublishedEvent[], undefined>> {
    this.#isOver = true;
    this.#watchers.remove(this);
    this.#taken();
    this.#wake?.();
    return Promise.resolve({ done: true, value: undefined });
  }

  #taken(): readonly PublishedEvent[] {
    const events = this.#events;
    this.#events = [];
    const chars = this.#chars;
    this.#chars = 0;
    this.#buffer.taken(chars);
    return events;
  }

  #droppedEvent(): PublishedEvent {
    const count = this.#dropped;
    this.#dropped = 0;
    if (count < this.#maxDropped) {
      return new PublishedEvent({ event: "dropped", at: new Date().toISOString(), count });
    }
    void this.return();
    throw new SdError(
      "queue_full",
      `this watch has ended: ${count} events came before its client read on; watch again`,
    );
  }
}
