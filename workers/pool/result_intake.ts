/**
 * Takes a worker's results from its area, and from messages where they were too large for it, and passes them on.
 * Those of a worker that runs code of others are checked first: whatever took hold of it, it can say
 * nothing of any task but those that it was given, and of these only once.
 */

import { leaseOf } from "../../protocol/work_message.ts";
import type { ResultReader } from "../bridge/result_area.ts";

const NEWLINE = 10, COMMA = 44;

/** Results go here as they come: whole lines, as bytes that must be copied, or as text. */
export interface ResultSink {
  write(bytes: Uint8Array): void;
  line(text: string): void;
  /** So much waits to be sent that what tasks say has to wait where it is. */
  readonly isFull: boolean;
}

/** What a worker says that it has done. */
export interface Done {
  /** The leased tasks, as they were posted. */
  readonly lines: readonly string[];
  /** The result of the last one, where it came by message. */
  readonly line: string | undefined;
  /** The last one was stopped: its result counts for nothing. */
  readonly dropLast: boolean;
}

export class ResultIntake {
  readonly #reader: ResultReader;
  readonly #sink: ResultSink;
  readonly #isChecked: boolean;

  constructor(
    reader: ResultReader,
    { sink, isChecked }: { sink: ResultSink; isChecked: boolean },
  ) {
    this.#reader = reader;
    this.#sink = sink;
    this.#isChecked = isChecked;
  }

  /** Passes on the results, which end at `end` in the area. False: they are not those of the tasks. */
  take(end: number, done: Done): boolean {
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

  #takeChecked(end: number, { lines, line, dropLast }: Done): boolean {
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

function isResultOf(task: string | undefined, line: string): boolean {
  return task !== undefined && leaseOf(line) === leaseOf(task) && !line.includes("\n");
}

/**
 * Where each of `results` ends, which must be those of the leased tasks in `tasks`, in this order;
 * `undefined` where they are anything else.
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

/** A leased task and its result begin alike, up to the comma behind the lease. */
function beginsAs(task: string, results: Uint8Array, start: number): boolean {
  for (let i = 0;; i++) {
    const code = task.charCodeAt(i);
    if (results[start + i] !== code) return false;
    if (code === COMMA) return true;
  }
}
