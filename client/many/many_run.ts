/**
 * One run over many lines: so many tasks in flight on one connection, each result told as soon as it is
 * there. Neither the tasks read nor the results wait in memory, whatever the length.
 */

import { ClientError } from "../../cli/client_error.ts";
import { reportOf } from "../../cli/report.ts";
import { SdError } from "../../protocol/errors.ts";
import type { TaskOptions } from "../../protocol/task.ts";
import type { Client } from "../client.ts";
import { talk } from "../output.ts";
import type { Payload } from "../payload.ts";
import { Slots } from "../slots.ts";
import { withCommas } from "../table.ts";
import { lineBatches, type NumberedLine } from "../task_lines.ts";
import { BackPressure } from "./back_pressure.ts";
import type { Journal } from "./journal.ts";
import type { LineFormat } from "./reading.ts";
import { InOrder, type LineResult, ResultWriter } from "./result_writer.ts";
import { lineTaskId, newRun } from "./run_id.ts";
import { newTally, type Tally } from "./tally.ts";

export interface ManyRunOptions {
  format: LineFormat;
  /** Go before those of the lines. */
  options: TaskOptions;
  journal: Journal | undefined;
  inFlight: number;
  /** Results come in the order of the lines. */
  ordered: boolean;
  /** The first line that is no task, or is refused, is the last. */
  strict: boolean;
}

export class ManyRun {
  readonly tally: Tally = newTally();
  readonly #given: ManyRunOptions;
  readonly #run: string;
  readonly #slots: Slots;
  readonly #writer: ResultWriter;
  readonly #order: InOrder | undefined;
  readonly #stopping = new AbortController();
  readonly #pressure: BackPressure;
  /** Why no further line is sent. */
  #reason: unknown;
  #running = 0;
  #linesRead = 0;
  #bytesRead = 0;
  /** Tasks whose end is not known, since the server stayed away. */
  #lost = 0;
  #lastLine = 0;

  constructor(given: ManyRunOptions) {
    const { journal, inFlight, ordered } = given;
    this.#given = given;
    this.#run = journal?.run ?? newRun();
    this.#slots = new Slots(inFlight);
    this.#order = ordered ? new InOrder({ cutsAtGap: journal !== undefined }) : undefined;
    this.#writer = new ResultWriter({ journal, onError: (error) => this.#stop(error) });
    this.#pressure = new BackPressure({
      signal: this.#stopping.signal,
      onFull: ({ message }) => talk(`the server takes no more just now: ${message}; waiting`),
    });
  }

  /** How far the reading is: lines that are tasks, and bytes. */
  get read(): { lines: number; bytes: number } {
    return { lines: this.#linesRead, bytes: this.#bytesRead };
  }

  /** Tasks in flight. */
  get running(): number {
    return this.#running;
  }

  /** Submits every line; resolves once each has ended. Throws what ends them all. */
  async all(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await this.#sendAll(client, source);
    } catch (error) {
      // The lines before the one that cannot be read are tasks all the same.
      this.#stop(error);
    }
    await this.#slots.idle();
    this.flush();
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Sends no further line: `all` throws `reason` once what is in flight has ended. */
  drain(reason: Error): void {
    this.#stop(reason);
  }

  /** Prints what has been told and not been printed. */
  flush(): void {
    this.#writer.flush();
  }

  /** Where the server stayed away: the way back to the tasks. */
  whatIsLost(): string | undefined {
    if (this.#lost === 0) return undefined;
    const [first, that] = this.#lost === 1 ? ["1 task", "it"] : [
      `${withCommas(this.#lost)} tasks`,
      "each",
    ];
    return `${first} may go on: once the server is back, sd wait the task_id on stdout of ${that} ` +
      `(not found: it was not taken); no line after line ${this.#lastLine} was submitted`;
  }

  async #sendAll(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    const { format, journal } = this.#given;
    const { signal } = this.#stopping;
    let turn = 0;
    for await (const { lines, bytes } of format.gather(lineBatches(source, { signal }))) {
      this.#bytesRead = bytes;
      for (const line of lines) {
        this.#linesRead++;
        if (journal?.isFinished(line.number)) continue;
        journal?.reserve(line.number);
        while (this.#pressure.waiting) await this.#pressure.waiting;
        if (!this.#slots.tryTake()) await this.#slots.take();
        if (signal.aborted) return this.#slots.release();
        this.#start(client, { line, turn: turn++ });
      }
    }
  }

  #start(client: Client, { line, turn }: { line: NumberedLine; turn: number }): void {
    this.tally.tasks++;
    this.#running++;
    this.#lastLine = line.number;
    const end = (result: LineResult) => {
      this.#running--;
      for (const ready of this.#order?.add(turn, result) ?? [result]) {
        this.#slots.release();
        this.#writer.add(ready);
      }
    };
    this.#one(client, line).then(end, (error: unknown) => {
      this.#stop(error);
      end(untold(line.number));
    });
  }

  async #one(client: Client, line: NumberedLine): Promise<LineResult> {
    let id: string | undefined;
    try {
      const payload = this.#read(line);
      id = payload.id;
      return await this.#send(client, { line: line.number, payload });
    } catch (error) {
      return this.#refused(error, { line: line.number, id });
    }
  }

  #read({ number, text, fault }: NumberedLine): Payload {
    if (text === null) {
      throw new ClientError("usage", `the line ${fault ?? "is not valid UTF-8"}`);
    }
    const { format, options } = this.#given;
    return format.read(text, { options, id: lineTaskId(this.#run, number) });
  }

  async #send(
    client: Client,
    { line, payload }: { line: number; payload: Payload },
  ): Promise<LineResult> {
    for (;;) {
      try {
        const told = await this.#submit(client, { line, payload });
        this.#pressure.ease();
        const failed = told.error !== undefined || told.status === "cancelled" ||
          told.status === "expired";
        return { line, text: JSON.stringify({ line, ...told }), failed };
      } catch (error) {
        if (!this.#pressure.delays(error)) throw error;
        await this.#pressure.waiting;
        // The server has not taken it.
        if (!this.#stopping.signal.aborted) continue;
        this.tally.tasks--;
        return untold(line);
      }
    }
  }

  /** What the server says of a task in the end, or first where it is not waited for. */
  async #submit(
    client: Client,
    { line, payload }: { line: number; payload: Payload },
  ): Promise<{ status?: string; error?: unknown }> {
    if (payload.cron) {
      const answer = await client.scheduleJson(payload.json);
      this.tally.submitted++;
      return answer;
    }
    const isStale = this.#given.journal?.isStale(line, payload.keepMs);
    const task = isStale
      ? await known(client, payload.id)
      : await client.submitJson(payload.json, payload);
    if (!payload.wait) {
      this.tally.submitted++;
      return { task_id: task.id, status: task.status } as { status: string };
    }
    const end = await task.end;
    this.tally[end.status]++;
    return end;
  }

  #refused(error: unknown, { line, id }: { line: number; id: string | undefined }): LineResult {
    const report = reportOf(error);
    if (!report) throw error;
    const { code, message } = report;
    const { journal, strict } = this.#given;
    if (code !== "unreachable") {
      this.tally.refused++;
      if (!strict) return toldError({ line, error: { code, message } });
      this.#stop(new ClientError("usage", `line ${line}: ${message}`, { hint: report.hint }));
      return untold(line);
    }
    this.#lost++;
    // Nothing about this line alone: it ends the run.
    this.#stop(error);
    return journal ? untold(line) : toldError({ line, task_id: id, error: { code, message } });
  }

  #stop(reason: unknown): void {
    this.#reason ??= reason;
    this.#stopping.abort();
  }
}

function untold(line: number): LineResult {
  return { line, text: undefined, failed: false };
}

function toldError(
  told: { line: number; task_id?: string | undefined; error: unknown },
): LineResult {
  return { line: told.line, text: JSON.stringify(told), failed: true };
}

/** A task that was sent long ago, if the server still has it. Sent again, it might run again. */
async function known(client: Client, id: string) {
  try {
    const { status } = await client.get(id);
    return { id, status, end: client.end(id) };
  } catch (error) {
    if (!(error instanceof SdError) || error.code !== "not_found") throw error;
    const message = `the run before may have sent task ${id}, and the server no longer knows it: ` +
      "it may have run";
    throw new SdError("not_found", message, { cause: error });
  }
}
