/**
 * Commands with one reply. A command is sent again on a new connection; the time for its reply counts from when it
 * was last sent, and only while there is a connection.
 */

import { ClientError } from "../../net/client_error.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import type { JsonObject } from "../../protocol/message.ts";
import type { Abortable } from "./call_options.ts";
import type { SteadyConnection } from "./steady_connection.ts";
import { GRACE_MS, LATE_MS } from "../../net/awake_clock.ts";
import { refusalOf } from "./connection_errors.ts";
import type { Exchange } from "./exchange.ts";
import { abortable, deferred } from "./promises.ts";

/** Default longest wait for a reply, in ms. */
const ANSWER_MS = 30_000;

/** Options of `ask`. */
export interface AskOptions extends Abortable {
  /** Longest wait for the reply, in ms; default 30,000; `Infinity`: no limit. */
  ms?: number;
  /** Called with a refusal, and whether the command was sent more than once; its result is the reply. */
  refused?: (error: unknown, wasAskedAgain: boolean) => Promise<JsonObject>;
}

/**
 * Sends `message` and returns its reply, without the `ref`. Rejects with the `SdError` of the server's refusal, or
 * with `unreachable` if no reply comes in time.
 */
export async function ask<Answer>(
  connection: SteadyConnection,
  message: JsonObject,
  options: AskOptions = {},
): Promise<Answer> {
  const { ms = ANSWER_MS, signal, refused } = options;
  signal?.throwIfAborted();
  const question = new Question(message, {
    ms,
    late: () => silent(connection.target, ms),
    isAway: () => connection.lostBy !== undefined,
  });
  const ref = connection.send(question.json, question);
  const giveUp = () => {
    connection.forget(ref);
    question.fail(new Error("aborted"));
  };
  try {
    const { ref: _ref, ...answer } = await abortable(question.answer, signal, giveUp);
    return answer as Answer;
  } catch (error) {
    if (!refused) throw error;
    return await refused(error, question.wasAskedAgain) as Answer;
  }
}

function silent(target: string, ms: number): ClientError {
  return new ClientError("unreachable", `${target} has not answered for ${formatDuration(ms)}`, {
    hint: "see what the server's log says",
  });
}

/** How long a question waits for its reply. */
interface Patience {
  /** Longest wait in ms; `Infinity`: no limit. */
  readonly ms: number;
  readonly late: () => Error;
  /** Whether there is no connection now. */
  readonly isAway: () => boolean;
}

/** One command and its reply. */
export class Question implements Exchange {
  readonly json: string;
  readonly #patience: Patience;
  readonly #answer = deferred<JsonObject>();
  #askedAt = performance.now();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isSettled = false;
  #wasAskedAgain = false;
  #hadGrace = false;

  constructor(message: JsonObject, patience: Patience) {
    this.json = JSON.stringify(message);
    this.#patience = patience;
    this.#setTimer(patience.ms);
  }

  /** Rejects with the `SdError` that the server refused with. */
  get answer(): Promise<JsonObject> {
    return this.#answer.promise;
  }

  /** Whether it was sent twice: the first one can have had its effect, and its reply be lost. */
  get wasAskedAgain(): boolean {
    return this.#wasAskedAgain;
  }

  take(reply: JsonObject): boolean {
    if (reply.error !== undefined && reply.task_id === undefined) this.fail(refusalOf(reply));
    else {
      this.#settle();
      this.#answer.resolve(reply);
    }
    return true;
  }

  fail(error: Error): void {
    this.#settle();
    this.#answer.reject(error);
  }

  again(): string | undefined {
    // The caller does not wait any more.
    if (this.#isSettled) return undefined;
    this.#wasAskedAgain = true;
    this.#askedAt = performance.now();
    return this.json;
  }

  #settle(): void {
    this.#isSettled = true;
    clearTimeout(this.#timer);
  }

  #setTimer(ms: number): void {
    if (ms !== Infinity) this.#timer = setTimeout(() => this.#check(), ms);
  }

  #check(): void {
    const { ms, late, isAway } = this.#patience;
    const leftMs = isAway() ? ms : this.#askedAt + ms - performance.now();
    // A timer can be a moment early. A late one comes after a stop of the process: the reply can be there, unread.
    if (leftMs > 1) this.#setTimer(leftMs);
    else if (leftMs < -LATE_MS && !this.#hadGrace) {
      this.#hadGrace = true;
      this.#setTimer(GRACE_MS);
    } else this.fail(late());
  }
}
