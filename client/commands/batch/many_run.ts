/**
 * One run over many lines: each line a task of the library's sender, each result printed as soon as it is there.
 * Neither tasks nor results gather in memory, however many lines there are.
 */

import { ClientError } from "../../../net/client_error.ts";
import { reportOf } from "../../../cli/report.ts";
import { SdError } from "../../../protocol/errors.ts";
import type { CronAnswer, TaskOptions, TaskView } from "../../../protocol/task.ts";
import { rawOf } from "../../server_client.ts";
import type { Client } from "../../client.ts";
import type { RawClient } from "../../raw_client.ts";
import { type SendOutcome, TaskSender } from "../../task_sender.ts";
import { talk } from "../base/output.ts";
import type { Payload } from "../input/payload.ts";
import { withCommas } from "../base/table.ts";
import { lineBatches, type NumberedLine } from "../input/task_lines.ts";
import { lineTaskId, newRun, type SubmitJournal } from "./journal.ts";
import type { LineFormat } from "./line_format.ts";
import { InOrder, type LineResult, ResultPrinter } from "./result_writer.ts";
import { newTally, type Tally } from "./tally.ts";

interface ManyRunOptions {
  format: LineFormat;
  /** Options of every task; options in a line go before them. */
  options: TaskOptions;
  journal: SubmitJournal | undefined;
  inFlight: number;
  /** Results come in the order of the lines. */
  ordered: boolean;
  /** Nothing is sent after the first line that is not a task or is refused. */
  strict: boolean;
}

/** A line that was read. */
interface SentLine {
  readonly line: number;
  /** Its place among the lines that are sent, from 0. */
  readonly turn: number;
  /** The id of its task; `undefined` if the line is not a task. */
  id: string | undefined;
}

export class ManyRun {
  readonly tally: Tally = newTally();
  readonly #options: ManyRunOptions;
  readonly #id: string;
  readonly #writer: ResultPrinter;
  readonly #order: InOrder | undefined;
  /** Aborts when no further line is sent. */
  readonly #stopping = new AbortController();
  /** Rejects once results cannot be printed any more. */
  readonly #broken = Promise.withResolvers<never>();
  #sender: TaskSender<SentLine> | undefined;
  /** The first reason why no further line is sent. */
  #reason: unknown;
  #running = 0;
  #linesRead = 0;
  #bytesRead = 0;
  /** Tasks whose end is not known, since the server stayed away. */
  #lost = 0;
  #lastLine = 0;

  constructor(options: ManyRunOptions) {
    const { journal, ordered } = options;
    this.#options = options;
    this.#id = journal?.run ?? newRun();
    this.#order = ordered ? new InOrder({ cutsAtGap: journal !== undefined }) : undefined;
    this.#broken.promise.catch(() => undefined);
    this.#writer = new ResultPrinter({
      journal,
      onError: (error) => {
        this.stop(error);
        this.#broken.reject(error);
      },
    });
  }

  /** How much was read: lines that are tasks, and bytes. */
  get progress(): { lines: number; bytes: number } {
    return { lines: this.#linesRead, bytes: this.#bytesRead };
  }

  /** Tasks in flight. */
  get running(): number {
    return this.#running;
  }

  /** Submits every line; resolves once each has ended. Throws the error that ended the run. */
  async all(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    // Results that cannot be printed are not waited for.
    await Promise.race([this.#allEnded(rawOf(client), source), this.#broken.promise]);
    this.flush();
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Sends no further line. Once the tasks in flight have ended, `all` throws the first `reason`. */
  stop(reason: unknown): void {
    this.#reason ??= reason;
    this.#stopping.abort();
    this.#sender?.stop();
  }

  /** Prints the results that were not printed yet. */
  flush(): void {
    this.#writer.flush();
  }

  /** If the server stayed away: how to find the tasks again. */
  whatIsLost(): string | undefined {
    if (this.#lost === 0) return undefined;
    const [first, that] = this.#lost === 1 ? ["1 task", "it"] : [
      `${withCommas(this.#lost)} tasks`,
      "each",
    ];
    return `${first} may go on: once the server is back, sd wait the task_id on stdout of ${that} ` +
      `(not found: it was not taken); no line after line ${this.#lastLine} was submitted`;
  }

  async #allEnded(raw: RawClient, source: ReadableStream<Uint8Array>): Promise<void> {
    const sender = this.#sender = new TaskSender<SentLine>({
      raw,
      maxInFlight: this.#options.inFlight,
      ended: (line, outcome) => this.#ended(line, outcome),
      onFull: ({ message }) => talk(`the server takes no more just now: ${message}; waiting`),
    });
    if (this.#stopping.signal.aborted) sender.stop();
    try {
      await this.#sendAll({ raw, sender }, source);
    } catch (error) {
      // The lines before the one that cannot be read are tasks; their ends are waited for.
      this.stop(error);
    }
    await sender.idle();
  }

  async #sendAll(to: Sending, source: ReadableStream<Uint8Array>): Promise<void> {
    const { format, journal } = this.#options;
    const { signal } = this.#stopping;
    const { sender } = to;
    let turn = 0;
    for await (const { lines, bytes } of format.gather(lineBatches(source, { signal }))) {
      this.#bytesRead = bytes;
      for (const line of lines) {
        this.#linesRead++;
        if (journal?.isFinished(line.number)) continue;
        if (signal.aborted) return;
        journal?.reserve(line.number);
        while (sender.full) await sender.full;
        if (signal.aborted) return;
        sender.take();
        this.tally.tasks++;
        this.#running++;
        this.#lastLine = line.number;
        this.#send(to, line, { line: line.number, turn: turn++, id: undefined });
      }
    }
  }

  #send({ raw, sender }: Sending, { text, fault }: NumberedLine, sent: SentLine): void {
    const { format, options, journal } = this.#options;
    let payload: Payload;
    try {
      if (text === null) {
        throw new ClientError("usage", `the line ${fault ?? "is not valid UTF-8"}`);
      }
      payload = format.read(text, { options, id: lineTaskId(this.#id, sent.line) });
    } catch (error) {
      return this.#refused(sent, error);
    }
    sent.id = payload.id;
    if (payload.cron) {
      sender.ask(sent, () => scheduled(raw, payload));
    } else if (journal?.isStale(sent.line, payload.keepMs)) {
      sender.ask(sent, () => outcomeOf(raw, payload));
    } else {
      sender.send(sent, payload);
    }
  }

  #ended(sent: SentLine, outcome: SendOutcome): void {
    switch (outcome.status) {
      case "submitted":
        this.tally.submitted++;
        return this.#print(sent, outcome.answer, false);
      case "refused":
      case "lost":
      case "unknown":
        return this.#refused(sent, outcome.error);
      case "unsent":
        this.tally.tasks--;
        return this.#leave(sent);
      default:
        this.tally[outcome.status]++;
        this.#print(sent, outcome, outcome.status !== "completed");
    }
  }

  /** A line that is not a task, was refused, or whose end nothing will report. */
  #refused(sent: SentLine, error: unknown): void {
    const report = reportOf(error);
    if (!report || report.code === "unreachable") {
      // The cause is not in this line, so it ends the run.
      if (report) this.#lost++;
      this.stop(error);
      // With a journal the next run sends the line again.
      if (this.#options.journal || !report) return this.#leave(sent);
    } else {
      this.tally.refused++;
      if (this.#options.strict) {
        const { message, hint } = report;
        this.stop(new ClientError("usage", `line ${sent.line}: ${message}`, { hint }));
        return this.#leave(sent);
      }
    }
    const { code, message } = report;
    const known = code === "unreachable" ? { task_id: sent.id } : {};
    this.#print(sent, { ...known, error: { code, message } }, true);
  }

  #print(sent: SentLine, result: object, failed: boolean): void {
    this.#close(sent, {
      line: sent.line,
      text: JSON.stringify({ line: sent.line, ...result }),
      failed,
    });
  }

  /** Nothing is printed for the line. */
  #leave(sent: SentLine): void {
    this.#close(sent, { line: sent.line, text: undefined, failed: false });
  }

  #close({ turn }: SentLine, result: LineResult): void {
    this.#running--;
    if (!this.#order) return this.#write(result);
    for (const ready of this.#order.add(turn, result)) this.#write(ready);
  }

  #write(result: LineResult): void {
    this.#sender?.release();
    this.#writer.add(result);
  }
}

interface Sending {
  readonly raw: RawClient;
  readonly sender: TaskSender<SentLine>;
}

async function scheduled(raw: RawClient, { json }: Payload): Promise<SendOutcome> {
  return { status: "submitted", answer: await raw.ask<CronAnswer>(JSON.parse(json)) };
}

/** Asks for a task that an earlier run may have sent long ago: sent again, it could run again. */
async function outcomeOf(raw: RawClient, { id, wait }: Payload): Promise<SendOutcome> {
  try {
    const { status } = await raw.ask<TaskView>({ cmd: "get", task_id: id });
    if (wait) return await raw.end(id);
    return { status: "submitted", answer: { task_id: id, status } };
  } catch (error) {
    if (!(error instanceof SdError) || error.code !== "not_found") throw error;
    const message = `the run before may have sent task ${id}, and the server no longer knows it: ` +
      "it may have run";
    throw new SdError("not_found", message, { cause: error });
  }
}
