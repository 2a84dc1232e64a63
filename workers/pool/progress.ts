/** Tells the server how far running tasks are: what changed, at most ten times a second for each. */

import { leaseOf, type PoolReport } from "../../protocol/work_message.ts";
import type { ResultSink } from "./result_intake.ts";
import type { CurrentTask, Thread } from "./thread.ts";

const REPORT_MS = 100;

interface Told {
  seq: number;
  fraction: number;
  note: string | undefined;
  changed: boolean;
  at: number;
}

export class ProgressReporter {
  readonly #sink: ResultSink;
  readonly #told = new WeakMap<Thread, Told>();

  constructor(sink: ResultSink) {
    this.#sink = sink;
  }

  /** The running task of `thread` said `note`. */
  noted(thread: Thread, note: string): void {
    const task = thread.current();
    if (!task) return;
    const told = this.#of(thread, task);
    told.changed ||= told.note !== note;
    told.note = note;
  }

  /** Looks at the running task of `thread`, and reports what it has not reported yet. */
  look(thread: Thread, { task, now }: { task: CurrentTask; now: number }): void {
    const fraction = thread.row.progress;
    if (fraction === undefined) return;
    const told = this.#of(thread, task);
    told.changed ||= told.fraction !== fraction;
    told.fraction = fraction;
    if (!told.changed || now - told.at < REPORT_MS) return;
    told.changed = false;
    told.at = now;
    const { note } = told;
    const report: PoolReport = {
      lease: leaseOf(task.line),
      progress: note === undefined ? { fraction } : { fraction, note },
    };
    this.#sink.line(JSON.stringify(report));
  }

  #of(thread: Thread, { seq }: CurrentTask): Told {
    let told = this.#told.get(thread);
    if (told?.seq !== seq) {
      told = { seq, fraction: -1, note: undefined, changed: false, at: -REPORT_MS };
      this.#told.set(thread, told);
    }
    return told;
  }
}
