/** `sd submit --dry-run`: reads all tasks, sends none, and prints the numbers of tasks that would be sent. */

import { EXIT, type ExitCode } from "../../../cli/exit.ts";
import { printData, reportError, reportOf } from "../../../cli/report.ts";
import { print } from "../../../cli/talk.ts";
import { MAX_COUNTED_OPS } from "../../../protocol/limits.ts";
import type { TaskOptions } from "../../../protocol/task.ts";
import { talk } from "../base/output.ts";
import type { Payload } from "../input/payload.ts";
import { alignedTable, withCommas } from "../base/table.ts";
import { lineBatches, type NumberedLine, openLines } from "../input/task_lines.ts";
import { journalPath, type JournalState, readJournal } from "./journal_reader.ts";
import { type LineFormat, lineFormat, type Reading } from "./line_format.ts";

/** Most bad lines that are printed; only the number of others is. */
const MAX_PRINTED = 20;
const OTHER_OPS = "(others)";

/** The numbers of tasks that would be sent. */
class Plan {
  tasks = 0;
  bad = 0;
  readonly #ops = new Map<string, number>();
  readonly #faults: string[] = [];

  add({ op }: Payload): void {
    this.tasks++;
    const isCounted = this.#ops.has(op) || this.#ops.size < MAX_COUNTED_OPS;
    const name = isCounted ? op : OTHER_OPS;
    this.#ops.set(name, (this.#ops.get(name) ?? 0) + 1);
  }

  addBad(line: number, why: string): void {
    this.bad++;
    if (this.bad <= MAX_PRINTED) this.#faults.push(`line ${line}: ${why}`);
  }

  /** Prints the plan. The exit code says whether all lines are tasks. */
  print({ json }: { json: boolean }): ExitCode {
    const ops = [...this.#ops].sort(([, a], [, b]) => b - a);
    const data = { tasks: this.tasks, ops: Object.fromEntries(ops), bad: this.bad };
    if (!json) {
      print(alignedTable([
        ["OP", "TASKS"],
        ...ops.map(([op, count]) => [op, withCommas(count)]),
        ["in all", withCommas(this.tasks)],
      ], [1]));
      for (const fault of this.#faults) talk(fault);
    }
    if (this.bad > 0) {
      const what = this.bad === 1
        ? "1 line is not a task"
        : `${withCommas(this.bad)} lines are not tasks`;
      return reportError({ code: "usage", message: what }, { json, data });
    }
    if (json) printData(data);
    return EXIT.ok;
  }
}

/** Prints the plan of one payload. */
export function planOne(task: Payload, flags: { json: boolean }): ExitCode {
  const plan = new Plan();
  plan.add(task);
  return plan.print(flags);
}

/** Prints the plan of a file; with `resume`, of the lines that are left. */
export async function planFile(
  file: string,
  { flags, reading, options }: {
    flags: { json: boolean; resume: boolean };
    reading: Reading;
    options: TaskOptions;
  },
): Promise<ExitCode> {
  const plan = new Plan();
  const format = lineFormat(reading);
  const past = flags.resume ? await pastOf(file) : undefined;
  for await (const { lines } of format.gather(lineBatches(await openLines(file)))) {
    for (const line of lines) {
      if (!past?.finished.has(line.number)) planLine(plan, { line, format, options });
    }
  }
  return plan.print(flags);
}

function planLine(
  plan: Plan,
  { line, format, options }: { line: NumberedLine; format: LineFormat; options: TaskOptions },
): void {
  const { number, text, fault = "is not valid UTF-8" } = line;
  if (text === null) return plan.addBad(number, `it ${fault}`);
  try {
    plan.add(format.read(text, { options, id: "-" }));
  } catch (error) {
    const report = reportOf(error);
    if (!report) throw error;
    plan.addBad(number, report.message);
  }
}

async function pastOf(file: string): Promise<JournalState | undefined> {
  const path = journalPath(file);
  return await readJournal(path, await openLines(path));
}
