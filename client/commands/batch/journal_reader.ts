/**
 * What a journal tells of a run that was interrupted: which lines have been told, which may have been
 * sent. It may have been cut anywhere, in the middle of a line too, and is right up to there.
 *
 *     {"sd":"submit","version":1,"run":"0193a1c27c1e7b529c390e6f","file":{…},"server":"…","reading":"…"}
 *     {"at":1763990000000,"sent":512}                 lines up to 512 may be sent from here on
 *     {"at":…,"told":"1-200,203","failed":1,"out":{…}}  their results are about to be printed
 *     {"at":…,"settled":true}                         all that was told has been printed
 *     {"at":…,"unsure":true}                          none of what was told is sure to be on disk
 *
 * What follows a line shows that it was acted on: only the last `told` of a journal is uncertain. A change
 * of what stands here needs another `version`; an unknown one is refused.
 */

import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { taskLines } from "../input/task_lines.ts";
import { LineSet } from "./line_set.ts";
import type { FilePlace } from "./stdout_file.ts";

export const JOURNAL_VERSION = 1;
const RUN = /^[A-Za-z0-9]{1,64}$/;

/** What a run is of. It goes on only where all of it is the same. */
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
  /** What the ids of its tasks begin with. */
  run: string;
}

/** Where the results of a `told` were to stand in stdout, where that was a file. */
export interface Out extends FilePlace {
  length: number;
}

export interface Told {
  told: string;
  /** Lines of these without a result. */
  failed?: number;
  out?: Out;
}

/** A line behind the head. `of`: from here on it is a run of this, since somebody said so. */
export type Entry =
  & { at: number }
  & (Told | { sent: number } | { settled: true } | { unsure: true } | { of: RunOf });

export interface Past {
  head: Head;
  finished: LineSet;
  /** How many of these have no result. */
  failed: number;
  /** No line after this one was sent. */
  sent: number;
  /** When the last was written, in ms. */
  lastAt: number;
  /** The last `told`, where nothing shows that it was printed; not in `finished`. */
  uncertain: Told | undefined;
  /** Up to where the journal is whole. */
  bytes: number;
}

/** Where the journal of a file of tasks is. */
export function journalPath(tasks: string): string {
  return `${tasks}.sd-progress`;
}

/** Reads a journal; `undefined` for one that was cut in its head, before anything was sent. */
export async function readPast(
  path: string,
  source: ReadableStream<Uint8Array>,
): Promise<Past | undefined> {
  const encoder = new TextEncoder();
  let past: Past | undefined;
  for await (const { number, text } of taskLines(source)) {
    if (number === 1) past = startOf(path, text);
    else if (!past || text === null || !take(past, text)) break;
    // The last line has no newline where it was cut.
    if (past) past.bytes += encoder.encode(text ?? "").length + 1;
  }
  return past;
}

function startOf(path: string, text: string | null): Past | undefined {
  if (text === null || text === "") throw foreign(path);
  const head = parse<Head>(text);
  // Cut; what is not even the beginning of a head was never ours.
  if (!head && `{"sd":"submit",`.startsWith(text.slice(0, 15))) return undefined;
  if (!head || head.sd !== "submit" || !RUN.test(String(head.run))) throw foreign(path);
  if (head.version !== JOURNAL_VERSION) {
    throw new ClientError("usage", `${quote(path)} is of another release of sd, which can go on`);
  }
  const lines = { finished: new LineSet(), failed: 0, sent: 0, uncertain: undefined };
  return { head, ...lines, lastAt: 0, bytes: 0 };
}

/** Adds an entry to what is known; false where it is none. */
function take(past: Past, text: string): boolean {
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

/** The uncertain lines have been printed. */
export function finish(past: Past): void {
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
  return new ClientError("usage", `${quote(path)} is no journal of sd submit`, {
    hint: "it is where the journal of this file belongs: move it away",
  });
}
