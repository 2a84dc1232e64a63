/**
 * Opens the journal of a file of tasks, for a new run or for an interrupted run that is resumed. The id of a task is
 * made of the run and the line, so that a line that is sent again is the same task. A lock admits one process at a time.
 */

import { deadline } from "@std/async/deadline";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { talk } from "../base/output.ts";
import { withCommas } from "../base/table.ts";
import { appendLine, attempt, cannotWrite, newRun, SubmitJournal } from "./journal.ts";
import {
  finish,
  JOURNAL_VERSION,
  journalPath,
  type JournalState,
  readJournal,
  type RunOf,
} from "./journal_reader.ts";
import { LineSet } from "./line_set.ts";
import { cutStdout, stdoutEnd } from "./stdout_file.ts";

/** Longest wait for the lock, in ms. */
const LOCK_MS = 2000;

interface SubmitJournalOptions {
  /** The file of tasks. */
  tasks: string;
  of: RunOf;
  /** Resume the interrupted run. */
  resume: boolean;
  /** With `resume`: even if the file has changed. Without: even if a run was interrupted. */
  force: boolean;
}

/**
 * The journal of a file; `undefined` if it cannot be written and `resume` is not set. Throws `usage` if there is
 * nothing to resume, or if an interrupted run would be sent again without `force`.
 */
export async function openJournal(
  options: SubmitJournalOptions,
): Promise<SubmitJournal | undefined> {
  const { tasks, of, resume, force } = options;
  const path = journalPath(tasks);
  const file = await openFile(path, options);
  if (!file) return undefined;
  try {
    await lock(file, path);
    const past = await readJournal(path, (await Deno.open(path)).readable);
    if (past && resume) return goOn({ path, file, past }, options);
    // Without a reserved line no task was sent.
    if (past && past.sent > 0 && !force) throw unfinished(tasks, past);
    return begin({ path, file, of });
  } catch (error) {
    file.close();
    throw error;
  }
}

function goOn(
  { path, file, past }: { path: string; file: Deno.FsFile; past: JournalState },
  options: SubmitJournalOptions,
): SubmitJournal {
  const isOther = checkSame(past.head, options);
  attempt(path, () => {
    const { size } = file.statSync();
    if (size > past.bytes) file.truncateSync(past.bytes);
    file.seekSync(0, Deno.SeekMode.End);
    // The last newline is missing.
    if (size < past.bytes) file.writeSync(new Uint8Array([10]));
  });
  const journal = new SubmitJournal({ path, file, run: past.head.run, past });
  if (isOther) journal.renew(options.of);
  settle(past);
  return journal;
}

/** The journal of a new run. It is on disk before the first line is sent: without it the ids are lost. */
function begin({ path, file, of }: { path: string; file: Deno.FsFile; of: RunOf }): SubmitJournal {
  const run = newRun();
  attempt(path, () => file.truncateSync(0));
  appendLine(file, { path, line: { sd: "submit", version: JOURNAL_VERSION, run, ...of } });
  attempt(path, () => file.syncSync());
  return new SubmitJournal({ path, file, run, past: undefined });
}

async function openFile(
  path: string,
  { tasks, resume }: SubmitJournalOptions,
): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path, { read: true, write: true, create: !resume, mode: 0o600 });
  } catch (error) {
    if (resume && error instanceof Deno.errors.NotFound) {
      throw new ClientError("usage", `no run of ${quote(tasks)} was interrupted`, {
        hint:
          "all its results were printed, or no line was sent; without --resume all lines are sent",
      });
    }
    if (resume) throw cannotWrite(path, error);
    talk(`${cannotWrite(path, error).message}: this run cannot be resumed`);
    return undefined;
  }
}

async function lock(file: Deno.FsFile, path: string): Promise<void> {
  try {
    await deadline(file.lock(true), LOCK_MS);
  } catch (error) {
    if (!(error instanceof DOMException)) throw error;
    throw new ClientError(
      "usage",
      `another sd submit is sending this file and holds ${quote(path)}`,
    );
  }
}

/** Throws `usage` if the subject of the run has changed; with `force` it returns true instead. */
function checkSame(head: RunOf, { tasks, of, force }: SubmitJournalOptions): boolean {
  const [was, is] = [head, of].map(({ file, server, reading }) => ({
    [`${quote(tasks)} has`]: `${withCommas(file.bytes)} bytes of ${
      file.modified ?? "no known time"
    }`,
    "the server is": server,
    "lines are read": reading,
  }));
  const what = Object.keys(is ?? {}).find((name) => was?.[name] !== is?.[name]);
  if (what === undefined) return false;
  if (force) return true;
  const message = `this is not the run that was interrupted: ${what} ${is?.[what]}, ` +
    `and then ${was?.[what]}`;
  throw new ClientError("usage", message, {
    hint: "resume by line numbers anyway with --force",
  });
}

function unfinished(tasks: string, { finished, uncertain }: JournalState): ClientError {
  const count = finished.count + LineSet.parse(uncertain?.told ?? "").count;
  return new ClientError(
    "usage",
    `a run of ${quote(tasks)} was interrupted after ${withCommas(count)} results`,
    { hint: "resume it with --resume, or send every line again with --force" },
  );
}

/** Finds out whether the last announced results were printed, and cuts off a torn end. */
function settle(past: JournalState): void {
  const { uncertain } = past;
  if (!uncertain) return;
  const { out, told } = uncertain;
  const end = stdoutEnd();
  if (!out || end?.dev !== out.dev || end.ino !== out.ino || end.bytes < out.bytes) {
    talk(`the results of these lines are printed now, and may have been printed before: ${told}`);
    past.uncertain = undefined;
  } else if (end.bytes >= out.bytes + out.length) {
    finish(past);
  } else {
    cutStdout(out.bytes);
    past.uncertain = undefined;
  }
}
