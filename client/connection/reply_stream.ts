/**
 * A command and its many replies. What was begun on one connection is gone on with on another only where
 * asking anew does that.
 */

import type { JsonObject } from "../../protocol/message.ts";
import { deferred } from "./deferred.ts";
import type { Exchange } from "./exchange.ts";
import { refusalOf } from "./refusal.ts";

/** What is asked, and of whom the replies are. */
export interface ManyReplies {
  readonly json: string;
  /** Is given every reply, and says which is the last; what it throws ends the stream. */
  readonly take: (reply: JsonObject) => boolean;
  /** Asked when the connection is lost: whether to ask anew on the next one. Else that is the end. */
  readonly resumes: () => boolean;
}

export class ReplyStream implements Exchange {
  readonly #asked: ManyReplies;
  readonly #ended = deferred<void>();

  constructor(asked: ManyReplies) {
    this.#asked = asked;
  }

  /** Resolves after the last reply; rejects where the server refused, or the connection was lost. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  take({ ref: _ref, ...reply }: JsonObject): boolean {
    try {
      // An event has an error too, of the task that it tells of.
      if (reply.error !== undefined && reply.event === undefined) throw refusalOf(reply);
      if (!this.#asked.take(reply)) return false;
      this.#ended.resolve();
    } catch (error) {
      this.#ended.reject(error);
    }
    return true;
  }

  fail(error: Error): void {
    this.#ended.reject(error);
  }

  again(): string | undefined {
    return this.#asked.resumes() ? this.#asked.json : undefined;
  }
}
