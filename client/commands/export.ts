/** `sd export`: all tasks of a server as lines that `sd import` reads. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { STATUSES } from "../../protocol/task.ts";
import { talk, withLines } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import type { ExportFilter } from "../transfer.ts";
import { withClient } from "./base/with_client.ts";

export const exportCommand = defineCommand({
  name: "export",
  summary: "print all tasks as NDJSON, for another server or engine",
  flags: {
    ...CLIENT_FLAGS,
    status: { type: "string", value: "STATUS", choices: STATUSES, help: "only those in it" },
    op: { type: "string", value: "OP", help: "only those of this op" },
  },
  examples: [
    ["sd export > tasks.ndjson", "everything; take it in elsewhere with: sd import tasks.ndjson"],
    ["sd export | sd import --server other:5000", "straight into another server"],
  ],
  notes: [
    "Each line is a task, with its payload, its result and what became of it; or a setting: what is " +
    "paused, what recurs. Tasks that run are written as queued. Tasks that change meanwhile are " +
    "written as they were when they were reached: pause all ops first for a picture of one moment.",
    "With --json the same lines, and errors in the envelope.",
  ],
  async run({ flags }) {
    const filter: ExportFilter = {};
    if (flags.status !== undefined) filter.status = flags.status;
    if (flags.op !== undefined) filter.op = flags.op;
    let count = 0;
    await withClient({ flags }, (client) =>
      withLines(async (lines) => {
        for await (const record of client.exportRecords(filter)) {
          lines.add(JSON.stringify(record));
          count++;
        }
      }));
    if (!flags.json) talk(`${withCommas(count)} ${count === 1 ? "record" : "records"}`);
    return EXIT.ok;
  },
});
