/**
 * Takes what a worker's tasks say from its log area, and from messages where there was no room, and passes it on.
 * What comes from a worker that runs code of others is checked first: it can say nothing for any task but those
 * that it has.
 */

import { leaseOf } from "../../protocol/work_message.ts";
import type { LogReader } from "../bridge/log_area.ts";
import type { ResultSink } from "./result_intake.ts";

export interface Said {
  /** The leased tasks that the worker has, as they were posted. */
  readonly tasks: readonly string[];
  /** What had no room in the area. */
  readonly line: string | undefined;
}

const decoder = new TextDecoder();

export class LogIntake {
  readonly #reader: LogReader;
  readonly #sink: ResultSink;
  readonly #isChecked: boolean;

  constructor(reader: LogReader, { sink, isChecked }: { sink: ResultSink; isChecked: boolean }) {
    this.#reader = reader;
    this.#sink = sink;
    this.#isChecked = isChecked;
  }

  /** Passes on what lies there up to `end`, and then the line. False: it is of no task that the worker has. */
  take(end: number, { tasks, line }: Said): boolean {
    if (this.#isChecked) {
      const bytes = this.#reader.copy(end);
      if (!bytes || !areOfTasks(linesOf(bytes), tasks)) return false;
      if (line !== undefined && !areOfTasks([line], tasks)) return false;
      if (bytes.length > 0) this.#sink.write(bytes);
    } else {
      this.#reader.take(end, this.#sink);
    }
    if (line !== undefined) this.#sink.line(line);
    return true;
  }

  /** Drops what lies there up to `end`. */
  skip(end: number): void {
    this.#reader.skip(end);
  }
}

function linesOf(bytes: Uint8Array): string[] {
  if (bytes.length === 0) return [];
  const lines = decoder.decode(bytes).split("\n");
  // What ends with a newline has an empty end.
  return lines.at(-1) === "" ? lines.slice(0, -1) : [""];
}

/** Whether each of `lines` is what one of the leased tasks in `tasks` says, and no other report. */
function areOfTasks(lines: readonly string[], tasks: readonly string[]): boolean {
  if (lines.length === 0) return true;
  const leases = new Set(tasks.map(leaseOf));
  return lines.every((line) => {
    const lease = leaseOf(line);
    return leases.has(lease) && line.startsWith(`{"lease":${lease},"log":[`) &&
      !line.includes("\n");
  });
}
