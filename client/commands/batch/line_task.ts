/** One line of many, from its text to what is told of it. It calls its run once, at its end. */

import { ClientError } from "../../../net/client_error.ts";
import { reportOf } from "../../../cli/report.ts";
import { SdError } from "../../../protocol/errors.ts";
import type { Client } from "../../client.ts";
import type { Payload } from "../input/payload.ts";
import type { TaskEnd } from "../../task/task_end.ts";
import type { Acknowledged, TaskListener } from "../../task/task_exchange.ts";
import type { NumberedLine } from "../input/task_lines.ts";
import type { BackPressure } from "./back_pressure.ts";
import type { LineResult } from "./result_writer.ts";
import type { Tally } from "./tally.ts";

/** What a line needs of its run. */
export interface LineRun {
  readonly client: Client;
  readonly tally: Tally;
  readonly pressure: BackPressure;
  /** A line that is refused is told by an error alone, and is the last. */
  readonly strict: boolean;
  /** Whether what is told of lines is kept, so that one of which nothing is told is sent again later. */
  readonly isKept: boolean;
  readonly isStopping: boolean;
  /** The task of a line. Throws for one that is none. */
  read(text: string, line: number): Payload;
  /** Whether a run before may have sent the line so long ago that its record may be gone. */
  isStale(line: number, keepMs: number): boolean;
  /** Sends no further line; its first reason is that of the run. */
  stop(reason: unknown): void;
  /** The server stayed away before the end of a line was known. */
  lose(reason: Error): void;
  ended(turn: number, result: LineResult): void;
}

export class LineTask implements TaskListener {
  readonly #run: LineRun;
  readonly #line: number;
  /** Which of the lines that are sent it is, from 0. */
  readonly #turn: number;
  #payload: Payload | undefined;

  constructor(run: LineRun, { line, turn }: { line: number; turn: number }) {
    this.#run = run;
    this.#line = line;
    this.#turn = turn;
  }

  begin({ text, fault }: NumberedLine): void {
    let payload: Payload;
    try {
      if (text === null) {
        throw new ClientError("usage", `the line ${fault ?? "is not valid UTF-8"}`);
      }
      payload = this.#payload = this.#run.read(text, this.#line);
    } catch (error) {
      return this.#refuse(error);
    }
    this.#send(payload);
  }

  acknowledged({ id, status }: Acknowledged): void {
    this.#run.pressure.ease();
    if (!this.#payload?.wait) this.#submitted({ task_id: id, status });
  }

  ended(end: TaskEnd): void {
    this.#run.tally[end.status]++;
    this.#tell(end, end.status !== "completed");
  }

  failed(error: Error): void {
    const { pressure } = this.#run;
    if (pressure.delays(error)) void this.#sendLater();
    else this.#refuse(error);
  }

  #send(payload: Payload): void {
    const { client } = this.#run;
    if (payload.cron) {
      client.scheduleJson(payload.json).then(
        (answer) => this.#submitted(answer),
        (error) => this.failed(error),
      );
    } else if (this.#run.isStale(this.#line, payload.keepMs)) {
      void this.#ask(payload);
    } else {
      client.submitLine(payload, this);
    }
  }

  /** Once the server may take more. It has not taken this one. */
  async #sendLater(): Promise<void> {
    const { pressure, tally } = this.#run;
    await pressure.waiting;
    if (this.#payload && !this.#run.isStopping) return this.#send(this.#payload);
    tally.tasks--;
    this.#end({ text: undefined, failed: false });
  }

  /** Asks for a task that may have been sent long ago: sent again, it might run again. */
  async #ask({ id, wait }: Payload): Promise<void> {
    const { client } = this.#run;
    try {
      const { status } = await client.get(id);
      if (wait) this.ended(await client.end(id));
      else this.#submitted({ task_id: id, status });
    } catch (error) {
      const isGone = error instanceof SdError && error.code === "not_found";
      this.#refuse(isGone ? mayHaveRun(id, error) : error);
    }
  }

  #refuse(error: unknown): void {
    const { tally, strict, isKept } = this.#run;
    const report = reportOf(error);
    if (!report || report.code === "unreachable") {
      // Nothing about this line alone: it ends the run.
      if (report) this.#run.lose(error as Error);
      else this.#run.stop(error);
      if (isKept || !report) return this.#end({ text: undefined, failed: false });
    } else {
      tally.refused++;
      if (strict) {
        const { message, hint } = report;
        this.#run.stop(new ClientError("usage", `line ${this.#line}: ${message}`, { hint }));
        return this.#end({ text: undefined, failed: false });
      }
    }
    const { code, message } = report;
    const known = code === "unreachable" ? { task_id: this.#payload?.id } : {};
    this.#tell({ ...known, error: { code, message } }, true);
  }

  #submitted(answer: object): void {
    this.#run.tally.submitted++;
    this.#tell(answer, false);
  }

  #tell(what: object, failed: boolean): void {
    this.#end({ text: JSON.stringify({ line: this.#line, ...what }), failed });
  }

  #end(told: { text: string | undefined; failed: boolean }): void {
    this.#run.ended(this.#turn, { line: this.#line, ...told });
  }
}

function mayHaveRun(id: string, cause: SdError): SdError {
  const message = `the run before may have sent task ${id}, and the server no longer knows it: ` +
    "it may have run";
  return new SdError("not_found", message, { cause });
}
