/**
 * A message and its replies, as the connection holds them until the last reply; and the command with many replies,
 * which goes on over a lost connection only if asking again does that.
 */

import type { JsonObject } from "../../protocol/message.ts";
import { refusalOf } from "./connection_errors.ts";
import { deferred } from "./promises.ts";

export interface Exchange {
  /** Takes a reply; true when it was the last one. */
  take(reply: JsonObject): boolean;
  fail(error: Error): void;
  /**
   * The text to send on a new connection, where the one that the message was sent on is lost;
   * `undefined`: nothing, and the exchange fails. Without this method the same text is sent again.
   */
  again?(): string | undefined;
}

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
