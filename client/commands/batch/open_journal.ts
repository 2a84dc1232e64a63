/**
 * Opens the journal of a file of tasks: for a new run, or for one that was interrupted and goes on. The
 * ids of its tasks are made of the run and their lines, so that a line sent again is the same task. One
 * process at a time has it.
 */

import { deadline } from "@std/async/deadline";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { talk } from "../base/output.ts";
import { withCommas } from "../base/table.ts";
import { appendLine, attempt, cannotWrite, Journal, newRun } from "./journal.ts";
import {
  finish,
  JOURNAL_VERSION,
  journalPath,
  type Past,
  readPast,
  type RunOf,
} from "./journal_reader.ts";
import { LineSet } from "./line_set.ts";
import { cutStdout, stdoutEnd } from "./stdout_file.ts";

/** Another process that has the journal keeps it for longer. */
const LOCK_MS = 2000;

export interface JournalOptions {
  /** The file of tasks. */
  tasks: string;
  of: RunOf;
  /** Go on with the run that was interrupted. */
  resume: boolean;
  /** With `resume`: also where the file has changed; without: also where a run was interrupted. */
  force: boolean;
}

/**
 * The journal of a file; `undefined` where none can be kept and none is asked for. Throws `usage` where
 * there is nothing to go on with, or a run that must not be begun again unawares.
 */
export async function openJournal(options: JournalOptions): Promise<Journal | undefined> {
  const { tasks, of, resume, force } = options;
  const path = journalPath(tasks);
  const file = await openFile(path, options);
  if (!file) return undefined;
  try {
    await lock(file, path);
    const past = await readPast(path, (await Deno.open(path)).readable);
    if (past && resume) return goOn({ path, file, past }, options);
    // Nothing was sent where no line was noted as sent.
    if (past && past.sent > 0 && !force) throw unfinished(tasks, past);
    return begin({ path, file, of });
  } catch (error) {
    file.close();
    throw error;
  }
}

function goOn(
  { path, file, past }: { path: string; file: Deno.FsFile; past: Past },
  options: JournalOptions,
): Journal {
  const isOther = checkSame(past.head, options);
  attempt(path, () => {
    const { size } = file.statSync();
    if (size > past.bytes) file.truncateSync(past.bytes);
    file.seekSync(0, Deno.SeekMode.End);
    // Cut just before its last newline.
    if (size < past.bytes) file.writeSync(new Uint8Array([10]));
  });
  const journal = new Journal({ path, file, run: past.head.run, past });
  if (isOther) journal.renew(options.of);
  settle(past);
  return journal;
}

/** The journal of a new run. It is on disk before anything is sent: without it the ids are lost. */
function begin({ path, file, of }: { path: string; file: Deno.FsFile; of: RunOf }): Journal {
  const run = newRun();
  attempt(path, () => file.truncateSync(0));
  appendLine(file, { path, line: { sd: "submit", version: JOURNAL_VERSION, run, ...of } });
  attempt(path, () => file.syncSync());
  return new Journal({ path, file, run, past: undefined });
}

async function openFile(
  path: string,
  { tasks, resume }: JournalOptions,
): Promise<Deno.FsFile | undefined> {
  try {
    return await Deno.open(path, { read: true, write: true, create: !resume, mode: 0o600 });
  } catch (error) {
    if (resume && error instanceof Deno.errors.NotFound) {
      throw new ClientError("usage", `no run of ${quote(tasks)} was interrupted`, {
        hint: "all its lines were told, or none was sent; without --resume all are sent",
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
    throw new ClientError("usage", `another sd submit is at it: it has ${quote(path)}`);
  }
}

/** Refuses to go on with another run; true where `force` says to. */
function checkSame(head: RunOf, { tasks, of, force }: JournalOptions): boolean {
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
    hint: "--force goes on by the numbers of the lines all the same",
  });
}

function unfinished(tasks: string, { finished, uncertain }: Past): ClientError {
  const count = finished.count + LineSet.parse(uncertain?.told ?? "").count;
  return new ClientError(
    "usage",
    `a run of ${quote(tasks)} was interrupted after ${withCommas(count)} results`,
    { hint: "go on with it by --resume, or send every line again with --force" },
  );
}

/** Finds out whether the last results that the run before told were printed, and cuts a torn end off. */
function settle(past: Past): void {
  const { uncertain } = past;
  if (!uncertain) return;
  const { out, told } = uncertain;
  const end = stdoutEnd();
  if (!out || end?.dev !== out.dev || end.ino !== out.ino || end.bytes < out.bytes) {
    talk(`the results of these lines come now, and may have come before: ${told}`);
    past.uncertain = undefined;
  } else if (end.bytes >= out.bytes + out.length) {
    finish(past);
  } else {
    cutStdout(out.bytes);
    past.uncertain = undefined;
  }
}
