/**
 * Takes results and log lines of one worker from its rings, and passes them to the sink. Lines that do not fit in a ring
 * come by message, and go the same way. The lines of a worker that runs task code are checked first: it can report
 * nothing about tasks that it was not given, and nothing twice. `Thread` owns both intakes.
 */

import { leaseOf } from "../../protocol/work_message.ts";
import type { RingReader } from "../bridge/ring_area.ts";

const NEWLINE = 10, COMMA = 44;
const decoder = new TextDecoder();

/** Receives what workers report: whole lines, as bytes that must be copied, or as text. */
export interface ReportSink {
  write(bytes: Uint8Array): void;
  line(text: string): void;
  /** The server reads too slowly: log lines stay in their rings for now. */
  readonly isFull: boolean;
}

interface IntakeOptions {
  readonly sink: ReportSink;
  /** The worker runs task code. */
  readonly isChecked: boolean;
}

/** The tasks that a worker reports as done. */
interface DoneTasks {
  /** The leased tasks, as they were posted. */
  readonly lines: readonly string[];
  /** The result of the last one, if it came by message. */
  readonly line: string | undefined;
  /** The last one was stopped: its result is dropped. */
  readonly dropLast: boolean;
}

export class ResultIntake {
  readonly #reader: RingReader;
  readonly #sink: ReportSink;
  readonly #isChecked: boolean;

  constructor(reader: RingReader, { sink, isChecked }: IntakeOptions) {
    this.#reader = reader;
    this.#sink = sink;
    this.#isChecked = isChecked;
  }

  /** Passes on the results, which end at `end` in the ring. False if they are not the results of these tasks. */
  take(end: number, done: DoneTasks): boolean {
    if (this.#isChecked) return this.#takeChecked(end, done);
    const { line, dropLast } = done;
    if (dropLast && line === undefined) this.#reader.takeButLast(end, this.#sink);
    else this.#reader.take(end, this.#sink);
    if (line !== undefined && !dropLast) this.#sink.line(line);
    return true;
  }

  /** Drops the results up to `end`. */
  skip(end: number): void {
    this.#reader.skip(end);
  }

  #takeChecked(end: number, { lines, line, dropLast }: DoneTasks): boolean {
    if (line !== undefined && !isResultOf(lines[lines.length - 1], line)) return false;
    const results = this.#reader.copy(end);
    const ends = results && endsOfResults(results, line === undefined ? lines : lines.slice(0, -1));
    if (!ends) return false;
    this.#reader.skip(end);
    const cut = dropLast && line === undefined ? ends[ends.length - 2] ?? 0 : results.length;
    if (cut > 0) this.#sink.write(results.subarray(0, cut));
    if (line !== undefined && !dropLast) this.#sink.line(line);
    return true;
  }
}

/** The log lines that a worker reports. */
interface LoggedLines {
  /** The leased tasks that the worker has, as they were posted. */
  readonly tasks: readonly string[];
  /** A line that did not fit into the ring. */
  readonly line: string | undefined;
}

export class LogIntake {
  readonly #reader: RingReader;
  readonly #sink: ReportSink;
  readonly #isChecked: boolean;

  constructor(reader: RingReader, { sink, isChecked }: IntakeOptions) {
    this.#reader = reader;
    this.#sink = sink;
    this.#isChecked = isChecked;
  }

  /** Passes on the lines up to `end`, then `line`. False if one belongs to no task that the worker has. */
  take(end: number, { tasks, line }: LoggedLines): boolean {
    if (this.#isChecked) {
      if (line !== undefined && !areLogsOf(tasks, [line])) return false;
      if (!this.#takeChecked(end, tasks)) return false;
    } else {
      this.#reader.take(end, this.#sink);
    }
    if (line !== undefined) this.#sink.line(line);
    return true;
  }

  /** Drops the lines up to `end`. */
  skip(end: number): void {
    this.#reader.skip(end);
  }

  #takeChecked(end: number, tasks: readonly string[]): boolean {
    if (this.#reader.hasTaken(end)) return true;
    const bytes = this.#reader.copy(end);
    if (!bytes || !areLogsOf(tasks, linesOf(bytes))) return false;
    this.#reader.skip(end);
    this.#sink.write(bytes);
    return true;
  }
}

function isResultOf(task: string | undefined, line: string): boolean {
  return task !== undefined && leaseOf(line) === leaseOf(task) && !line.includes("\n");
}

/**
 * Where each result in `results` ends. They must be the results of the leased tasks `tasks`, in this order;
 * otherwise `undefined`.
 */
export function endsOfResults(results: Uint8Array, tasks: readonly string[]): number[] | undefined {
  const ends: number[] = [];
  let at = 0;
  for (const task of tasks) {
    if (!beginsAs(task, results, at)) return undefined;
    const newline = results.indexOf(NEWLINE, at);
    if (newline < 0) return undefined;
    at = newline + 1;
    ends.push(at);
  }
  return at === results.length ? ends : undefined;
}

/** Whether the result at `start` has the lease of `task`: both lines begin alike, up to the comma after the lease. */
function beginsAs(task: string, results: Uint8Array, start: number): boolean {
  for (let i = 0;; i++) {
    const code = task.charCodeAt(i);
    if (results[start + i] !== code) return false;
    if (code === COMMA) return true;
  }
}

function linesOf(bytes: Uint8Array): string[] {
  const lines = decoder.decode(bytes).split("\n");
  // The last line has a newline, so an empty text follows it; anything else is a forgery.
  return lines.at(-1) === "" ? lines.slice(0, -1) : [""];
}

/** Whether each of `lines` is a log line of one of the leased tasks `tasks`, and no other report. */
function areLogsOf(tasks: readonly string[], lines: readonly string[]): boolean {
  const leases = new Set(tasks.map(leaseOf));
  return lines.every((line) => {
    const lease = leaseOf(line);
    return leases.has(lease) && line.startsWith(`{"lease":${lease},"log":[`) &&
      !line.includes("\n");
  });
}
