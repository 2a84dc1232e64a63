/** A command and its many replies. What was begun on one connection is not gone on with on another. */

import type { JsonObject } from "../protocol/message.ts";
import type { Exchange } from "./exchange.ts";
import { refusalOf } from "./refusal.ts";

export class ReplyStream implements Exchange {
  readonly #take: (reply: JsonObject) => boolean;
  readonly #ended = Promise.withResolvers<void>();

  /** `take` is given every reply, and says which is the last; what it throws ends the stream. */
  constructor(take: (reply: JsonObject) => boolean) {
    this.#take = take;
  }

  /** Resolves after the last reply; rejects where the server refused, or the connection was lost. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  take({ ref: _ref, ...reply }: JsonObject): boolean {
    try {
      // An event has an error too, of the task that it tells of.
      if (reply.error !== undefined && reply.event === undefined) throw refusalOf(reply);
      if (!this.#take(reply)) return false;
      this.#ended.resolve();
    } catch (error) {
      this.#ended.reject(error);
    }
    return true;
  }

  fail(error: Error): void {
    this.#ended.reject(error);
  }

  again(): undefined {
    return undefined;
  }
}
