/** Asks a server: commands of one answer, each with its patience. */

import { ClientError } from "../../net/client_error.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { abortable } from "./abortable.ts";
import type { Abortable } from "./call_options.ts";
import { Question } from "./question.ts";
import type { SteadyConnection } from "./steady_connection.ts";

/** A server that has not answered a question for so long is not going to. */
const ANSWER_MS = 30_000;

export interface AskOptions extends Abortable {
  /** How long the answer may take; `Infinity`: for ever. */
  ms?: number;
  /** What to make of a refusal, and of whether the question was asked more than once. */
  refused?: (error: unknown, wasAskedAgain: boolean) => Promise<JsonObject>;
}

export class Asker {
  readonly #connection: SteadyConnection;

  constructor(connection: SteadyConnection) {
    this.#connection = connection;
  }

  /** The answer to `message`, without its `ref`. Rejects with the `SdError` that the server refused with. */
  async ask<Answer>(message: JsonObject, options: AskOptions = {}): Promise<Answer> {
    const { ms = ANSWER_MS, signal, refused } = options;
    signal?.throwIfAborted();
    const isAway = () => this.#connection.lostBy !== undefined;
    const question = new Question(message, { ms, late: () => this.#silent(ms), isAway });
    const ref = this.#connection.send(question.json, question);
    const giveUp = () => {
      this.#connection.forget(ref);
      question.fail(new Error("given up"));
    };
    try {
      const { ref: _ref, ...answer } = await abortable(question.answer, signal, giveUp);
      return answer as Answer;
    } catch (error) {
      if (!refused) throw error;
      return await refused(error, question.wasAskedAgain) as Answer;
    }
  }

  #silent(ms: number): ClientError {
    const message = `${this.#connection.target} has not answered for ${formatDuration(ms)}`;
    return new ClientError("unreachable", message, { hint: "see what the server's log says" });
  }
}
