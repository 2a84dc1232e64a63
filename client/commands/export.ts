/** `sd export`: prints all tasks of a server as lines that `sd import` reads. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT } from "../../cli/exit.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { COMMANDS } from "../../protocol/operations.ts";
import { talk, withLines } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import type { ExportFilter } from "../transfer.ts";
import { withClient } from "./base/with_client.ts";

/** Arguments of the operation that answers this command. */
const EXPORT = COMMANDS.export.takes;

export const exportCommand = defineCommand({
  name: "export",
  summary: "print all tasks as NDJSON, for another server or engine",
  flags: {
    ...CLIENT_FLAGS,
    status: {
      type: "string",
      value: "STATUS",
      choices: EXPORT.status.of,
      help: EXPORT.status.about,
    },
    op: { type: "string", value: "OP", help: EXPORT.op.about },
  },
  examples: [
    ["sd export > tasks.ndjson", "everything; read it with: sd import tasks.ndjson"],
    ["sd export | sd import --server other:5000", "copy to another server"],
  ],
  notes: [
    "Each line is a task, with its payload, result and history, or a setting: a pause, a recurring task. " +
    "Running tasks are written as queued. A task that changes during the export is written in its state at " +
    "that time; pause all ops first for a consistent copy.",
    'With --json the lines are the same, and an error is a line {"ok":false,"error":…}.',
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
