/** `sd logs`: prints the log of a task, so far or until the task is final. */

import { dim, red, yellow } from "@std/fmt/colors";
import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { escapeControls, paint, print } from "../../cli/talk.ts";
import type { LogLevel, LogLine } from "../../protocol/task.ts";
import { talk, withLines } from "./base/output.ts";
import { withClient } from "./base/with_client.ts";

export const logs = defineCommand({
  name: "logs",
  summary: "print the log of a task",
  positional: "ID",
  minArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    follow: { type: "boolean", short: "f", help: "follow the log until the task is final" },
  },
  examples: [
    ["sd logs 0193a1c2-…", "a line for each entry: time of day, level, text"],
    ["sd logs -f 0193a1c2-…", "new entries as well, until the task ends"],
    ["sd logs -f --json 0193a1c2-…", "for programs: one entry a line"],
  ],
  notes: [
    "The server keeps the output of ctx.log and console of all attempts: the newest 1,000 entries, up to 65,536 " +
    "characters. With --json, `dropped` is the number of older entries that it has dropped.",
    "Exit: 0 for any end of the task, 5 no such task.",
  ],
  async run({ flags, args }) {
    const [id = ""] = args;
    const lines = new LogLines();
    if (!flags.follow) {
      const view = await withClient({ flags }, (client) => client.logs(id));
      if (flags.json) printData(view);
      else if (view.log.length > 0) print(view.log.map((entry) => lines.of(entry)).join("\n"));
      else talk(`the log of task ${id} ${view.dropped > 0 ? "was dropped" : "is empty"}`);
      return EXIT.ok;
    }
    await withClient({ flags, reconnects: true }, (client) =>
      withLines((out) => {
        const take = (entry: LogLine) =>
          out.add(flags.json ? JSON.stringify(entry) : lines.of(entry));
        return client.followLog(id, take);
      }));
    return EXIT.ok;
  },
});

/** Width of the longest level. */
const LEVEL_COLUMNS = "debug".length;
const STYLES: Partial<Record<LogLevel, (text: string) => string>> = {
  debug: dim,
  warn: yellow,
  error: red,
};

class LogLines {
  /** Number, attempt and retry count of the previous entry. */
  #before = { n: 0, attempt: 1, retry: 0 };

  /** The lines for `entry`: notes on dropped entries and a new attempt, then the entry. */
  of(entry: LogLine): string {
    const { n, attempt, retry = 0 } = entry;
    const before = this.#before;
    this.#before = { n, attempt, retry };
    const lines: string[] = [];
    const missing = n - before.n - 1;
    if (missing > 0) lines.push(aside(missing === 1 ? "1 dropped" : `${missing} dropped`));
    if (attempt !== before.attempt || retry !== before.retry) {
      lines.push(aside(retry === 0 ? `attempt ${attempt}` : `retry ${retry}, attempt ${attempt}`));
    }
    lines.push(lineOf(entry));
    return lines.join("\n");
  }
}

function aside(text: string): string {
  return paint("stdout", dim, `--- ${text} ---`);
}

function lineOf({ at, level, text }: LogLine): string {
  const head = `${timeOfDay(new Date(at))} ${level.padEnd(LEVEL_COLUMNS)} `;
  // Further lines are indented, so that none looks like an entry.
  const body = escapeControls(text, true).replaceAll("\n", `\n${" ".repeat(head.length)}`);
  const style = STYLES[level];
  return style ? paint("stdout", style, head + body) : head + body;
}

/** The time of day in the zone of this machine. */
function timeOfDay(time: Date): string {
  const two = (number: number) => String(number).padStart(2, "0");
  const ms = String(time.getMilliseconds()).padStart(3, "0");
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${ms}`;
}
