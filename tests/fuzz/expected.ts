/** The replies that the server owes for one line, and how many of them have come. */

import type { Forecast, Outcome } from "./forecast.ts";

/** A line of the server's, as far as its shape is known before it is read. */
export interface Reply {
  readonly task_id?: string;
  readonly status?: string;
  readonly result?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
  readonly attempt?: number;
  /** Of an acknowledgement whose task has ended. */
  readonly ack?: unknown;
  readonly ref?: unknown;
}

/** Whether a reply was for this line, and whether more replies follow. */
export type Verdict = "other" | "more" | "done";

const FINAL = ["completed", "failed", "cancelled", "expired"];

export class Expected {
  /** Acknowledged just now, and it would take long. */
  toCancel = false;
  readonly #forecast: Exclude<Forecast, { is: "nothing" }>;
  readonly #line: Uint8Array;
  /** The task that was acknowledged. */
  #taskId: string | undefined;

  constructor(forecast: Exclude<Forecast, { is: "nothing" }>, line: Uint8Array) {
    this.#forecast = forecast;
    // A copy, and of its beginning only: large ones would pile up.
    this.#line = line.slice(0, 300);
  }

  take(reply: Reply): Verdict {
    const forecast = this.#forecast;
    this.toCancel = false;
    if (this.#taskId === undefined && reply.error && reply.task_id === undefined) {
      return forecast.codes.includes(reply.error.code) ? "done" : "other";
    }
    switch (forecast.is) {
      case "refused":
        return "other";
      case "command":
        return forecast.member in reply ? "done" : "other";
      case "task":
        return this.#taskId === undefined
          ? this.#acknowledge(reply, forecast)
          : this.#finish(reply, forecast);
    }
  }

  toString(): string {
    const { is, codes } = this.#forecast;
    const text = new TextDecoder().decode(this.#line);
    const stage = this.#taskId === undefined ? "" : `, task ${this.#taskId} acknowledged`;
    return `${is} [${codes.join(" ")}]${stage} for ${JSON.stringify(text)}`;
  }

  #acknowledge(reply: Reply, forecast: Extract<Forecast, { is: "task" }>): Verdict {
    const { task_id, status, result, error } = reply;
    const isEnded = FINAL.includes(status ?? "");
    if (!task_id || !status || (reply.ack === true) !== isEnded) return "other";
    // One that has ended says how; any other has nothing to say of it.
    if (!isEnded && (result !== undefined || error)) return "other";
    if (isEnded && !isEnd(reply)) return "other";
    this.#taskId = task_id;
    this.toCancel = forecast.slow && !FINAL.includes(status);
    return forecast.wait ? "more" : "done";
  }

  #finish(reply: Reply, forecast: Extract<Forecast, { is: "task" }>): Verdict {
    if (reply.task_id !== this.#taskId || !FINAL.includes(reply.status ?? "")) return "other";
    if (!isEnd(reply) || reply.ack !== undefined) return "other";
    return fits(reply, forecast.outcome, forecast.attempts) ? "done" : "other";
  }
}

function fits(reply: Reply, outcome: Outcome, attempts: number): boolean {
  if (outcome === "any") return true;
  if ("result" in outcome) return JSON.stringify(reply.result) === outcome.result;
  return reply.error?.code === outcome.failure && reply.attempt === attempts;
}

/** Whether a reply says as much of the end of its task as its status asks for. */
function isEnd(reply: Reply): boolean {
  return (reply.status === "completed") === ("result" in reply) &&
    (reply.status === "failed") === (reply.error !== undefined);
}
