/** `sd import`: takes in the lines that `sd export` printed. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { type ErrorReport, printData, tellError } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { importAll, type ImportTotals } from "./import_all.ts";
import { talk } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { openLines } from "./input/task_lines.ts";
import { withClient } from "./base/with_client.ts";

/** Problems told one by one; of more only their number is told. */
const MAX_TOLD = 20;

export const importCommand = defineCommand({
  name: "import",
  summary: "take in tasks that sd export printed",
  positional: "[FILE]",
  maxArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [
    ["sd import tasks.ndjson", "what is there already is left as it is"],
    ["sd export --server old:5000 | sd import", "without a file, or with -, from stdin"],
  ],
  notes: [
    "A line that cannot be read is told with its number and passed over; the others are taken in. To " +
    "import the same lines again changes nothing.",
    "Exit: 0 all taken in or there already, 2 a line could not be read, 7 an id belongs to another " +
    "task, or a task comes after one that is not there.",
  ],
  async run({ flags, args }) {
    const source = await openLines(args[0] ?? "-");
    const totals = await withClient({ flags }, (client) => importAll(client, source));
    return tell(totals, flags);
  },
});

function tell(totals: ImportTotals, { json }: { json: boolean }): ExitCode {
  const { imported, existed, conflicts, orphans, bad } = totals;
  const error = errorOf(totals);
  if (json) {
    if (error) return tellError(error, { json, data: totals });
    printData(totals);
    return EXIT.ok;
  }
  const problems = [
    ...bad.map(({ line, message }) => `line ${line}: ${message}`),
    ...conflicts.map((id) => `another task has the id ${id}`),
    ...orphans.map((id) => `task ${id} comes after one that is not there`),
  ];
  for (const problem of problems.slice(0, MAX_TOLD)) talk(problem);
  if (problems.length > MAX_TOLD) talk(`and ${withCommas(problems.length - MAX_TOLD)} more`);
  print(`imported ${withCommas(imported)}, there already ${withCommas(existed)}`);
  return error ? tellError(error, { json }) : EXIT.ok;
}

function errorOf({ conflicts, orphans, bad }: ImportTotals): ErrorReport | undefined {
  const count = conflicts.length + orphans.length + bad.length;
  if (count === 0) return undefined;
  const what = `${withCommas(count)} ${count === 1 ? "record was" : "records were"} not taken in`;
  return { code: bad.length > 0 ? "bad_request" : "conflict", message: what };
}
