/** `sd import`: sends the lines that `sd export` printed to a server, in batches. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { type ErrorReport, printData, tellError } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { MAX_IMPORT_CHARS } from "../../protocol/limits.ts";
import type { ImportAnswer } from "../../protocol/transfer.ts";
import type { Client } from "../client.ts";
import { talk } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";
import { openLines, taskLines } from "./input/task_lines.ts";

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

/** What became of all lines; `bad` by their numbers. */
export interface ImportTotals extends Omit<ImportAnswer, "bad"> {
  bad: { line: number; message: string }[];
}

/** Characters of a batch, one line more at most. */
const BATCH_CHARS = 256 * 1024;
const BATCH_LINES = 1000;

export async function importAll(
  client: Client,
  source: ReadableStream<Uint8Array>,
): Promise<ImportTotals> {
  const totals: ImportTotals = { imported: 0, existed: 0, conflicts: [], orphans: [], bad: [] };
  let batch: { number: number; text: string }[] = [];
  let chars = 0;
  const flush = async () => {
    if (batch.length === 0) return;
    const answer = await client.importText(batch.map(({ text }) => text).join("\n"));
    add(totals, answer, batch.map(({ number }) => number));
    batch = [];
    chars = 0;
  };
  for await (const { number, text } of taskLines(source, MAX_IMPORT_CHARS)) {
    if (text === null) {
      totals.bad.push({ line: number, message: "it is not valid UTF-8" });
    } else if (text.trim() !== "") {
      if (chars + text.length > BATCH_CHARS || batch.length >= BATCH_LINES) await flush();
      batch.push({ number, text });
      chars += text.length;
    }
  }
  await flush();
  return totals;
}

function add(totals: ImportTotals, answer: ImportAnswer, numbers: readonly number[]): void {
  totals.imported += answer.imported;
  totals.existed += answer.existed;
  totals.conflicts.push(...answer.conflicts);
  totals.orphans.push(...answer.orphans);
  for (const { record, message } of answer.bad) {
    totals.bad.push({ line: numbers[record - 1] ?? 0, message });
  }
}
