/**
 * One run over many lines: so many tasks in flight on one connection, each result told as soon as it is
 * there. Neither the tasks read nor the results wait in memory, whatever the length.
 */

import type { TaskOptions } from "../../../protocol/task.ts";
import type { Client } from "../../client.ts";
import { talk } from "../base/output.ts";
import type { Payload } from "../input/payload.ts";
import { Semaphore } from "../../task/semaphore.ts";
import { withCommas } from "../base/table.ts";
import { lineBatches } from "../input/task_lines.ts";
import { BackPressure } from "./back_pressure.ts";
import type { Journal } from "./journal.ts";
import { type LineRun, LineTask } from "./line_task.ts";
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

export class ManyRun implements LineRun {
  readonly tally: Tally = newTally();
  readonly strict: boolean;
  readonly isKept: boolean;
  readonly pressure: BackPressure;
  readonly #format: LineFormat;
  readonly #options: TaskOptions;
  readonly #journal: Journal | undefined;
  readonly #id: string;
  readonly #slots: Semaphore;
  readonly #writer: ResultWriter;
  readonly #order: InOrder | undefined;
  readonly #stopping = new AbortController();
  /** Rejects once no result can be told any more. */
  readonly #broken = Promise.withResolvers<never>();
  #client: Client | undefined;
  /** Why no further line is sent. */
  #reason: unknown;
  #running = 0;
  #linesRead = 0;
  #bytesRead = 0;
  /** Tasks whose end is not known, since the server stayed away. */
  #lost = 0;
  #lastLine = 0;

  constructor({ format, options, journal, inFlight, ordered, strict }: ManyRunOptions) {
    this.strict = strict;
    this.isKept = journal !== undefined;
    this.#format = format;
    this.#options = options;
    this.#journal = journal;
    this.#id = journal?.run ?? newRun();
    this.#slots = new Semaphore(inFlight);
    this.#order = ordered ? new InOrder({ cutsAtGap: this.isKept }) : undefined;
    this.#broken.promise.catch(() => undefined);
    this.#writer = new ResultWriter({
      journal,
      onError: (error) => {
        this.stop(error);
        this.#broken.reject(error);
      },
    });
    this.pressure = new BackPressure({
      signal: this.#stopping.signal,
      onFull: ({ message }) => talk(`the server takes no more just now: ${message}; waiting`),
    });
  }

  /** There once lines are sent. */
  get client(): Client {
    if (!this.#client) throw new Error("the run has not begun");
    return this.#client;
  }

  /** How far the reading is: lines that are tasks, and bytes. */
  get progress(): { lines: number; bytes: number } {
    return { lines: this.#linesRead, bytes: this.#bytesRead };
  }

  /** Tasks in flight. */
  get running(): number {
    return this.#running;
  }

  get isStopping(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Submits every line; resolves once each has ended. Throws what ends them all. */
  async all(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    this.#client = client;
    // Results that cannot be told are not waited for.
    await Promise.race([this.#allEnded(client, source), this.#broken.promise]);
    this.flush();
    if (this.#reason !== undefined) throw this.#reason;
  }

  /** Sends no further line: `all` throws `reason`, or one before it, once what is in flight has ended. */
  stop(reason: unknown): void {
    this.#reason ??= reason;
    this.#stopping.abort();
  }

  lose(reason: Error): void {
    this.#lost++;
    this.stop(reason);
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

  read(text: string, line: number): Payload {
    return this.#format.read(text, { options: this.#options, id: lineTaskId(this.#id, line) });
  }

  isStale(line: number, keepMs: number): boolean {
    return this.#journal?.isStale(line, keepMs) ?? false;
  }

  ended(turn: number, result: LineResult): void {
    this.#running--;
    if (!this.#order) return this.#tell(result);
    for (const ready of this.#order.add(turn, result)) this.#tell(ready);
  }

  #tell(result: LineResult): void {
    this.#slots.release();
    this.#writer.add(result);
  }

  async #allEnded(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    try {
      await this.#sendAll(client, source);
    } catch (error) {
      // The lines before the one that cannot be read are tasks all the same.
      this.stop(error);
    }
    await this.#slots.idle();
  }

  async #sendAll(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    const { signal } = this.#stopping;
    let turn = 0;
    for await (const { lines, bytes } of this.#format.gather(lineBatches(source, { signal }))) {
      this.#bytesRead = bytes;
      for (const line of lines) {
        this.#linesRead++;
        if (this.#journal?.isFinished(line.number)) continue;
        if (signal.aborted) return;
        this.#journal?.reserve(line.number);
        while (this.pressure.waiting) await this.pressure.waiting;
        while (client.room) await client.room;
        if (!this.#slots.tryTake()) await this.#slots.take();
        if (signal.aborted) return this.#slots.release();
        this.tally.tasks++;
        this.#running++;
        this.#lastLine = line.number;
        new LineTask(this, { line: line.number, turn: turn++ }).begin(line);
      }
    }
  }
}
