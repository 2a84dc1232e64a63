/**
 * The watches of one connection. What happens to tasks goes out as it happens. A client that leaves too
 * much of it unread loses events, and is told how many once it has read what was written before; if it
 * loses very many at a time, its watch ends with an error, so that nothing is done for it any more.
 */

import { SdError } from "../../../protocol/errors.ts";
import { MAX_WATCHES } from "../../../protocol/limits.ts";
import type { Ref } from "../../../protocol/message.ts";
import type { WatchEvent } from "../../../protocol/task.ts";
import type { WatchFilter } from "../../api/requests.ts";
import type { ToldEvent, WatchedTask, Watcher, Watchers } from "../../task/watchers.ts";
import type { Outbox } from "../socket/outbox.ts";
import { errorLine, jsonLine, objectLine } from "../socket/replies.ts";

/** What a client may leave unread and still be told everything. */
const MAX_UNREAD_CHARS = 1024 * 1024;

/** Events that one watch may lose before the client has read on. */
const MAX_DROPPED_EVENTS = 1_000_000;

type WatchOutbox = Pick<Outbox, "push" | "unread" | "flushed">;

export class Watches {
  readonly #watchers: Watchers;
  readonly #outbox: WatchOutbox;
  readonly #maxDropped: number;
  readonly #open: Watch[] = [];

  constructor(watchers: Watchers, outbox: WatchOutbox, maxDropped = MAX_DROPPED_EVENTS) {
    this.#watchers = watchers;
    this.#outbox = outbox;
    this.#maxDropped = maxDropped;
  }

  /** Answers, and tells of everything from now on. Throws `conflict` where there are too many. */
  open(filter: WatchFilter, ref: Ref | undefined): void {
    if (this.#open.length >= MAX_WATCHES) {
      throw new SdError(
        "conflict",
        `this connection has ${MAX_WATCHES} watches, the most; end them with {"cmd":"unwatch"}`,
      );
    }
    const watch: Watch = new Watch({
      filter,
      ref,
      outbox: this.#outbox,
      maxDropped: this.#maxDropped,
      end: () => this.#end(watch),
    });
    this.#outbox.push(objectLine({ watch: "on" }, ref));
    this.#open.push(watch);
    this.#watchers.add(watch);
  }

  #end(watch: Watch): void {
    this.#watchers.remove(watch);
    this.#open.splice(this.#open.indexOf(watch), 1);
  }

  /** Ends all of them. */
  close(): void {
    for (const watch of this.#open.splice(0)) {
      this.#watchers.remove(watch);
      watch.close();
    }
  }
}

interface WatchOptions {
  readonly filter: WatchFilter;
  readonly ref: Ref | undefined;
  readonly outbox: WatchOutbox;
  readonly maxDropped: number;
  /** Nothing more is to be told. */
  readonly end: () => void;
}

class Watch implements Watcher {
  readonly #filter: WatchFilter;
  readonly #ref: Ref | undefined;
  readonly #outbox: WatchOutbox;
  readonly #maxDropped: number;
  readonly #end: () => void;
  /** Events lost since the last one that was told. */
  #dropped = 0;
  #closed = false;

  constructor({ filter, ref, outbox, maxDropped, end }: WatchOptions) {
    this.#filter = filter;
    this.#ref = ref;
    this.#outbox = outbox;
    this.#maxDropped = maxDropped;
    this.#end = end;
  }

  wants({ id, op }: WatchedTask): boolean {
    const { taskId, op: wanted } = this.#filter;
    return (taskId === undefined || taskId === id) && (wanted === undefined || wanted === op);
  }

  take(event: ToldEvent): void {
    if (this.#dropped > 0) {
      if (++this.#dropped === this.#maxDropped) this.#end();
    } else if (this.#outbox.unread > MAX_UNREAD_CHARS) {
      this.#dropped = 1;
      void this.#tellDropped();
    } else {
      this.#outbox.push(jsonLine(event.json, this.#ref));
    }
  }

  close(): void {
    this.#closed = true;
  }

  async #tellDropped(): Promise<void> {
    await this.#outbox.flushed();
    if (this.#closed) return;
    if (this.#dropped >= this.#maxDropped) {
      const ended = new SdError(
        "queue_full",
        `this watch has ended: ${this.#dropped} events came before its client read on; watch again`,
      );
      return this.#outbox.push(errorLine(ended, this.#ref));
    }
    const event: WatchEvent = {
      event: "dropped",
      at: new Date().toISOString(),
      count: this.#dropped,
    };
    this.#dropped = 0;
    this.#outbox.push(objectLine(event, this.#ref));
  }
}
