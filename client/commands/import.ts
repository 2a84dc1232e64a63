/** `sd import`: sends the lines that `sd export` printed to a server, in batches. */

import { defineCommand } from "../../cli/command.ts";
import { EXIT, type ExitCode } from "../../cli/exit.ts";
import { type ErrorReport, printData, reportError } from "../../cli/report.ts";
import { CLIENT_FLAGS } from "../../cli/server_flags.ts";
import { print } from "../../cli/talk.ts";
import { MAX_IMPORT_CHARS } from "../../protocol/limits.ts";
import type { ImportAnswer } from "../../protocol/transfer.ts";
import type { Client } from "../client.ts";
import { talk } from "./base/output.ts";
import { withCommas } from "./base/table.ts";
import { withClient } from "./base/with_client.ts";
import { openLines, taskLines } from "./input/task_lines.ts";

/** Most problems that are printed; only the number of others is. */
const MAX_PRINTED = 20;

export const importCommand = defineCommand({
  name: "import",
  summary: "read tasks that sd export printed",
  positional: "[FILE]",
  maxArgs: 1,
  flags: CLIENT_FLAGS,
  examples: [
    ["sd import tasks.ndjson", "existing tasks are left unchanged"],
    ["sd export --server old:5000 | sd import", "without a file, or with -, read stdin"],
  ],
  notes: [
    "A line that cannot be read is reported with its number and skipped; the others are imported. Importing " +
    "the same lines again changes nothing.",
    "Exit: 0 every task imported or there already, 2 a line could not be read, 7 an id belongs to another " +
    "task, or a task depends on one that is missing.",
  ],
  async run({ flags, args }) {
    const source = await openLines(args[0] ?? "-");
    const totals = await withClient({ flags }, (client) => importAll(client, source));
    return report(totals, flags);
  },
});

function report(totals: ImportTotals, { json }: { json: boolean }): ExitCode {
  const { imported, existed, conflicts, orphans, bad } = totals;
  const error = errorOf(totals);
  if (json) {
    if (error) return reportError(error, { json, data: totals });
    printData(totals);
    return EXIT.ok;
  }
  const problems = [
    ...bad.map(({ line, message }) => `line ${line}: ${message}`),
    ...conflicts.map((id) => `another task has the id ${id}`),
    ...orphans.map((id) => `task ${id} depends on a task that is missing`),
  ];
  for (const problem of problems.slice(0, MAX_PRINTED)) talk(problem);
  if (problems.length > MAX_PRINTED) talk(`and ${withCommas(problems.length - MAX_PRINTED)} more`);
  print(`imported ${withCommas(imported)}, there already ${withCommas(existed)}`);
  return error ? reportError(error, { json }) : EXIT.ok;
}

function errorOf({ conflicts, orphans, bad }: ImportTotals): ErrorReport | undefined {
  const count = conflicts.length + orphans.length + bad.length;
  if (count === 0) return undefined;
  const what = `${withCommas(count)} ${count === 1 ? "record was" : "records were"} not imported`;
  return { code: bad.length > 0 ? "bad_request" : "conflict", message: what };
}

/** Counts for all lines; `bad` holds the numbers of lines. */
interface ImportTotals extends Omit<ImportAnswer, "bad"> {
  bad: { line: number; message: string }[];
}

/** Limits of a batch: characters (a single line can exceed it) and lines. */
const BATCH_CHARS = 256 * 1024;
const BATCH_LINES = 1000;

async function importAll(
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
