/**
 * Reads the journal of an interrupted run: the lines whose results are printed, and the lines that may have been sent.
 * The journal can be cut at any byte, and is valid up to there.
 *
 *     {"sd":"submit","version":1,"run":"0193a1c27c1e7b529c390e6f","file":{…},"server":"…","reading":"…"}
 *     {"at":1763990000000,"sent":512}                 lines up to 512 can be sent from here on
 *     {"at":…,"told":"1-200,203","failed":1,"out":{…}}  their results will now be printed
 *     {"at":…,"settled":true}                         all results of `told` are printed
 *     {"at":…,"unsure":true}                          no result of `told` is certain to be on disk
 *
 * A further entry proves that the one before was carried out: only the last `told` is uncertain. Any change of the
 * format needs another `version`; an unknown version is refused.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { taskLines } from "../input/task_lines.ts";
import { LineSet } from "./line_set.ts";
import type { FilePlace } from "./stdout_file.ts";

export const JOURNAL_VERSION = 1;
const RUN = /^[A-Za-z0-9]{1,64}$/;

/** The subject of a run. A run can be resumed only if all of it is unchanged. */
export interface RunOf {
  file: { bytes: number; modified: string | null };
  /** `host:port` */
  server: string;
  /** How lines become tasks. */
  reading: string;
}

export interface Head extends RunOf {
  sd: "submit";
  version: typeof JOURNAL_VERSION;
  /** The common beginning of the ids of its tasks. */
  run: string;
}

/** The place of the results of a `told`, if stdout was a file. */
export interface Out extends FilePlace {
  length: number;
}

interface Told {
  told: string;
  /** Number of these lines without a result. */
  failed?: number;
  out?: Out;
}

/** A line after the head. `of` is the new subject of the run, by `--force`. */
export type Entry =
  & { at: number }
  & (Told | { sent: number } | { settled: true } | { unsure: true } | { of: RunOf });

export interface JournalState {
  head: Head;
  finished: LineSet;
  /** Number of these lines without a result. */
  failed: number;
  /** No line after this one was sent. */
  sent: number;
  /** The time of the last entry, in ms since 1970. */
  lastAt: number;
  /** The last `told` if nothing proves that it was printed; not part of `finished`. */
  uncertain: Told | undefined;
  /** Length of the valid part of the journal, in bytes. */
  bytes: number;
}

/** The path of the journal of a file of tasks. */
export function journalPath(tasks: string): string {
  return `${tasks}.sd-progress`;
}

/** Reads a journal; `undefined` if it was cut within its head, before any line was sent. */
export async function readJournal(
  path: string,
  source: ReadableStream<Uint8Array>,
): Promise<JournalState | undefined> {
  const encoder = new TextEncoder();
  let past: JournalState | undefined;
  for await (const { number, text } of taskLines(source)) {
    if (number === 1) past = startOf(path, text);
    else if (!past || text === null || !take(past, text)) break;
    // A cut last line has no newline.
    if (past) past.bytes += encoder.encode(text ?? "").length + 1;
  }
  return past;
}

function startOf(path: string, text: string | null): JournalState | undefined {
  if (text === null || text === "") throw foreign(path);
  const head = parse<Head>(text);
  // A head that was cut. Any other text is not a journal.
  if (!head && `{"sd":"submit",`.startsWith(text.slice(0, 15))) return undefined;
  if (!head || head.sd !== "submit" || !RUN.test(String(head.run))) throw foreign(path);
  if (head.version !== JOURNAL_VERSION) {
    throw new ClientError(
      "usage",
      `${quote(path)} is the journal of another release of sd, which can resume it`,
    );
  }
  const lines = { finished: new LineSet(), failed: 0, sent: 0, uncertain: undefined };
  return { head, ...lines, lastAt: 0, bytes: 0 };
}

/** Applies an entry; false if the text is not an entry. */
function take(past: JournalState, text: string): boolean {
  const entry = parse<Entry>(text);
  if (!entry || typeof entry.at !== "number") return false;
  try {
    const told = "told" in entry ? LineSet.parse(entry.told) : undefined;
    finish(past);
    if (told && "told" in entry) past.uncertain = entry;
    else if ("sent" in entry) past.sent = entry.sent;
    else if ("unsure" in entry) Object.assign(past, { finished: new LineSet(), failed: 0 });
    else if ("of" in entry) Object.assign(past.head, entry.of);
    past.lastAt = entry.at;
    return true;
  } catch (error) {
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

/** Counts the uncertain lines as printed. */
export function finish(past: JournalState): void {
  if (!past.uncertain) return;
  past.finished.addAll(LineSet.parse(past.uncertain.told));
  past.failed += past.uncertain.failed ?? 0;
  past.uncertain = undefined;
}

function parse<T>(text: string): T | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value as T : undefined;
  } catch {
    return undefined;
  }
}

function foreign(path: string): ClientError {
  return new ClientError("usage", `${quote(path)} is not a journal of sd submit`, {
    hint: "the journal needs this name: move the file away",
  });
}
