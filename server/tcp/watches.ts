/**
 * The watches of one connection. What happens to tasks goes out as it happens; a client that leaves too
 * much of it unread loses events, and is told how many once it has read what was written before.
 */

import { SdError } from "../../protocol/errors.ts";
import { MAX_WATCHES } from "../../protocol/limits.ts";
import type { Ref } from "../../protocol/message.ts";
import type { WatchEvent } from "../../protocol/task.ts";
import type { WatchedTask, Watcher, Watchers } from "../task/watchers.ts";
import type { Outbox } from "./outbox.ts";
import { objectLine } from "./replies.ts";

/** What a client may leave unread and still be told everything. */
const MAX_UNREAD_CHARS = 1024 * 1024;

/** Which tasks to tell of; all, where nothing is named. */
export interface WatchFilter {
  readonly taskId?: string;
  readonly op?: string;
}

type WatchOutbox = Pick<Outbox, "push" | "unread" | "flushed">;

export class Watches {
  readonly #watchers: Watchers;
  readonly #outbox: WatchOutbox;
  readonly #open: Watch[] = [];

  constructor(watchers: Watchers, outbox: WatchOutbox) {
    this.#watchers = watchers;
    this.#outbox = outbox;
  }

  /** Answers, and tells of everything from now on. Throws `conflict` where there are too many. */
  open(filter: WatchFilter, ref: Ref | undefined): void {
    if (this.#open.length >= MAX_WATCHES) {
      throw new SdError(
        "conflict",
        `this connection has ${MAX_WATCHES} watches, the most; end them with {"cmd":"unwatch"}`,
      );
    }
    const watch = new Watch(filter, ref, this.#outbox);
    this.#outbox.push(objectLine({ watch: "on" }, ref));
    this.#open.push(watch);
    this.#watchers.add(watch);
  }

  /** Ends all of them. */
  close(): void {
    for (const watch of this.#open.splice(0)) {
      this.#watchers.remove(watch);
      watch.close();
    }
  }
}

class Watch implements Watcher {
  readonly #filter: WatchFilter;
  readonly #ref: Ref | undefined;
  readonly #outbox: WatchOutbox;
  /** Events lost since the last one that was told. */
  #dropped = 0;
  #closed = false;

  constructor(filter: WatchFilter, ref: Ref | undefined, outbox: WatchOutbox) {
    this.#filter = filter;
    this.#ref = ref;
    this.#outbox = outbox;
  }

  wants({ id, op }: WatchedTask): boolean {
    const { taskId, op: wanted } = this.#filter;
    return (taskId === undefined || taskId === id) && (wanted === undefined || wanted === op);
  }

  take(event: WatchEvent): void {
    if (this.#dropped > 0) {
      this.#dropped++;
    } else if (this.#outbox.unread > MAX_UNREAD_CHARS) {
      this.#dropped = 1;
      void this.#tellDropped();
    } else {
      this.#outbox.push(objectLine(event, this.#ref));
    }
  }

  close(): void {
    this.#closed = true;
  }

  async #tellDropped(): Promise<void> {
    await this.#outbox.flushed();
    if (this.#closed) return;
    const event: WatchEvent = {
      event: "dropped",
      at: new Date().toISOString(),
      count: this.#dropped,
    };
    this.#dropped = 0;
    this.#outbox.push(objectLine(event, this.#ref));
  }
}
