/** Takes lines of records to the server in batches, and adds up what became of them. */

import { MAX_IMPORT_CHARS } from "../../protocol/limits.ts";
import type { Client } from "../client.ts";
import { taskLines } from "./input/task_lines.ts";
import type { ImportAnswer } from "../../protocol/transfer.ts";

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
