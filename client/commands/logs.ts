/** `sd logs`: what a task said, until now or until its end. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { printData } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { LinePrinter } from "./base/line_printer.ts";
import { LogLines } from "./base/log_lines.ts";
import { talk } from "./base/output.ts";
import type { LogLine } from "../../protocol/task.ts";
import { withClient } from "./base/with_client.ts";

export const logs = defineCommand({
  name: "logs",
  summary: "print what a task has said, and what it says",
  positional: "ID",
  minArgs: 1,
  flags: {
    ...CLIENT_FLAGS,
    follow: { type: "boolean", short: "f", help: "go on until the task is final" },
  },
  examples: [
    ["sd logs 0193a1c2-…", "a line each: time of day, level, text"],
    ["sd logs -f 0193a1c2-…", "and everything that it says from now on"],
    ["sd logs -f --json 0193a1c2-…", "for programs: one entry a line"],
  ],
  notes: [
    "What ctx.log and console say while a task runs is kept with it, of all its attempts the newest " +
    "1,000 entries with 65,536 characters at most; `dropped` tells of those that are not.",
    "Exit: 0 however the task ended, 5 no such task.",
  ],
  async run({ flags, args }) {
    const [id = ""] = args;
    const lines = new LogLines();
    if (!flags.follow) {
      const view = await withClient({ flags }, (client) => client.logs(id));
      if (flags.json) printData(view);
      else if (view.log.length > 0) print(view.log.map((entry) => lines.of(entry)).join("\n"));
      else talk(`task ${id} has said nothing${view.dropped > 0 ? " that is kept" : ""}`);
      return EXIT.ok;
    }
    const printer = new LinePrinter();
    const take = (entry: LogLine) =>
      printer.add(flags.json ? JSON.stringify(entry) : lines.of(entry));
    await withClient(
      { flags, reconnects: true },
      (client) => printer.during(() => client.followLog(id, take)),
    );
    return EXIT.ok;
  },
});
