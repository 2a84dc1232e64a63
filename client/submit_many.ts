/**
 * `sd submit` with one task a line: so many in flight on one connection, each result printed as soon
 * as it is there. Neither the tasks read nor the results wait in memory, whatever the length.
 */

import type { ServerFlagValues } from "../cli/server_flags.ts";
import { ClientError } from "../cli/client_error.ts";
import { EXIT, type ExitCode } from "../cli/exit.ts";
import { printData, reportOf, tellError } from "../cli/report.ts";
import { formatDuration } from "../protocol/duration.ts";
import type { TaskOptions } from "../protocol/task.ts";
import type { Client } from "./client.ts";
import { LinePrinter } from "./line_printer.ts";
import { outOfTime, withHint } from "./lost_tasks.ts";
import { talk } from "./output.ts";
import { readPayload } from "./payload.ts";
import { Slots } from "./slots.ts";
import { withCommas } from "./table.ts";
import { type NumberedLine, taskLines } from "./task_lines.ts";
import { withClient } from "./with_client.ts";
import { within } from "./within.ts";

const MAX_IN_FLIGHT = 256;

export interface ManyTasks {
  flags: ServerFlagValues & { json: boolean };
  source: ReadableStream<Uint8Array>;
  options: TaskOptions;
  /** How long to wait for all of them. */
  waitMs: number;
}

/** What became of the lines; `refused` were never tasks, `submitted` were left to themselves. */
interface Tally {
  tasks: number;
  submitted: number;
  completed: number;
  failed: number;
  cancelled: number;
  expired: number;
  refused: number;
}

export async function submitMany(many: ManyTasks): Promise<ExitCode> {
  const run = new ManyRun(many.options);
  const startedAt = performance.now();
  try {
    await withClient(
      { flags: many.flags, unfinished: () => run.unfinished(), reconnects: true },
      (client) =>
        within(run.all(client, many.source), {
          ms: many.waitMs,
          late: () =>
            outOfTime(client, {
              waitMs: many.waitMs,
              what: "not all results",
              hint: run.unfinished(),
            }),
        }),
    );
  } finally {
    run.printer.flush();
    const took = formatDuration(performance.now() - startedAt);
    talk(`${summary(run.tally)} in ${took}`);
  }
  return tellTally(run.tally, many.flags);
}

class ManyRun {
  readonly tally: Tally = {
    tasks: 0,
    submitted: 0,
    completed: 0,
    failed: 0,
    cancelled: 0,
    expired: 0,
    refused: 0,
  };
  readonly printer = new LinePrinter();
  readonly #options: TaskOptions;
  readonly #slots = new Slots(MAX_IN_FLIGHT);
  #running = 0;
  /** Tasks whose end is not known, since the server stayed away. */
  #lost = 0;
  #lastLine = 0;
  #broken: unknown;

  constructor(options: TaskOptions) {
    this.#options = options;
  }

  /** Submits every line; resolves once each has ended. Throws what ends them all. */
  async all(client: Client, source: ReadableStream<Uint8Array>): Promise<void> {
    let stopped: unknown;
    try {
      for await (const line of taskLines(source)) {
        if (line.text?.trim() === "") continue;
        await this.#slots.take();
        if (this.#broken !== undefined) break;
        this.#start(client, line);
      }
    } catch (error) {
      // The lines before the one that cannot be read are tasks all the same.
      stopped = error;
    }
    await this.#slots.idle();
    const cause = this.#broken ?? stopped;
    if (cause !== undefined) throw withHint(cause, this.#whatIsLost());
  }

  unfinished(): string | undefined {
    if (this.#running === 0) return undefined;
    const what = this.#running === 1 ? "task goes on" : "tasks go on";
    return `${withCommas(this.#running)} ${what}; see: sd ls`;
  }

  /** Where the server stayed away. */
  #whatIsLost(): string | undefined {
    if (this.#lost === 0) return undefined;
    const [first, that] = this.#lost === 1 ? ["1 task", "it"] : [
      `${withCommas(this.#lost)} tasks`,
      "each",
    ];
    return `${first} may go on: once the server is back, sd wait the task_id on stdout of ${that} ` +
      `(not found: it was not taken); no line after line ${this.#lastLine} was submitted`;
  }

  #start(client: Client, line: NumberedLine): void {
    this.tally.tasks++;
    this.#running++;
    this.#lastLine = line.number;
    const ended = this.#one(client, line).catch((error: unknown) => {
      this.#broken ??= error;
    });
    void ended.then(() => {
      this.#running--;
      this.#slots.release();
    });
  }

  async #one(client: Client, { number: line, text }: NumberedLine): Promise<void> {
    let id: string | undefined;
    try {
      if (text === null) throw new ClientError("usage", "the line is not valid UTF-8");
      const payload = readPayload(text, this.#options);
      id = payload.id;
      if (payload.cron) {
        const answer = await client.scheduleJson(payload.json);
        this.tally.submitted++;
        this.printer.add(JSON.stringify({ line, ...answer }));
        return;
      }
      const task = await client.submitJson(payload.json, payload);
      if (!payload.wait) {
        this.tally.submitted++;
        this.printer.add(JSON.stringify({ line, task_id: task.id, status: task.status }));
        return;
      }
      const end = await task.end;
      this.tally[end.status]++;
      this.printer.add(JSON.stringify({ line, ...end }));
    } catch (error) {
      const report = reportOf(error);
      if (!report) throw error;
      const { code, message } = report;
      if (code !== "unreachable") {
        this.tally.refused++;
        this.printer.add(JSON.stringify({ line, error: { code, message } }));
        return;
      }
      this.#lost++;
      this.printer.add(JSON.stringify({ line, task_id: id, error: { code, message } }));
      // Nothing about this line alone: it ends the run.
      throw error;
    }
  }
}

function summary(tally: Tally): string {
  const { tasks, ...counts } = tally;
  const parts = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([name, count]) => `${withCommas(count)} ${name}`);
  return [`${withCommas(tasks)} ${tasks === 1 ? "task" : "tasks"}`, parts.join(", ")]
    .filter((part) => part !== "").join(": ");
}

function tellTally(tally: Tally, { json }: { json: boolean }): ExitCode {
  const missing = tally.tasks - tally.completed - tally.submitted;
  if (missing === 0) {
    if (json) printData(tally);
    return EXIT.ok;
  }
  const message = `${missing} of ${tally.tasks} tasks got no result`;
  const hint = "the lines on stdout say why";
  return tellError({ code: "task_error", message, hint }, { json, data: tally });
}
