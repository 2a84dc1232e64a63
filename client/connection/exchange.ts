/**
 * A message and its replies, as the connection holds them until the last reply; and the command with many replies,
 * which goes on over a lost connection only if asking again does that.
 */

import type { JsonObject } from "../../protocol/message.ts";
import { refusalOf } from "./connection_errors.ts";
import { deferred } from "./promises.ts";

/** A message that waits for its replies. */
export interface Exchange {
  /** Takes a reply. Returns true if it was the last one. */
  take(reply: JsonObject): boolean;
  fail(error: Error): void;
  /**
   * The text to send on a new connection after a loss; `undefined`: the exchange fails. Without this method, the same
   * text is sent again.
   */
  again?(): string | undefined;
}

/** A command with many replies. */
interface ManyReplies {
  readonly json: string;
  /** Called with every reply; returns true for the last one. An error that it throws ends the stream. */
  readonly take: (reply: JsonObject) => boolean;
  /** Called when the connection is lost: whether to ask again on the next one. Otherwise the loss is the end. */
  readonly resumes: () => boolean;
}

/** The replies to one such command. */
export class ReplyStream implements Exchange {
  readonly #asked: ManyReplies;
  readonly #ended = deferred<void>();

  constructor(asked: ManyReplies) {
    this.#asked = asked;
  }

  /** Resolves after the last reply; rejects if the server refused, or the connection was lost. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  take({ ref: _ref, ...reply }: JsonObject): boolean {
    try {
      // The error of an event is that of its task.
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
