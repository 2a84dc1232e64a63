/**
 * The journal of a file that is being submitted, kept beside it until every result is printed. Each entry is written
 * before the action that it describes, so that after `kill -9` only the results of one write are uncertain.
 * `journal_reader.ts` describes the entries.
 */

import type { OutputError } from "../../../cli/talk.ts";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { makeTaskId } from "../../task/task_line.ts";
import type { Entry, Head, JournalState, Out, RunOf } from "./journal_reader.ts";
import type { LineSet } from "./line_set.ts";
import { stdoutEnd, syncStdout, takeBack } from "./stdout_file.ts";

/** Lines that one entry reserves in advance. */
const AHEAD = 256;

const encoder = new TextEncoder();

interface SubmitJournalParts {
  path: string;
  /** The open, locked file, positioned at its end. */
  file: Deno.FsFile;
  run: string;
  past: JournalState | undefined;
}

export class SubmitJournal {
  readonly run: string;
  readonly path: string;
  /** The state of the interrupted run that this one resumes. */
  readonly past: JournalState | undefined;
  readonly #file: Deno.FsFile;
  #sent: number;
  /** The last `told`, whose results may not be printed yet, and its place in the journal. */
  #open: { at: number; out: Out | undefined } | undefined;
  /** The reason for a stop of all writes: a further entry would claim that an open `told` was printed. */
  #fault: unknown;

  constructor({ path, file, run, past }: SubmitJournalParts) {
    this.path = path;
    this.run = run;
    this.past = past;
    this.#file = file;
    this.#sent = past?.sent ?? 0;
  }

  /** Whether any line may have been sent. */
  get isBegun(): boolean {
    return this.#sent > 0;
  }

  /** Whether the interrupted run printed the result of `line`. */
  isFinished(line: number): boolean {
    return this.past?.finished.has(line) ?? false;
  }

  /**
   * Whether the interrupted run may have sent `line` more than `keepMs` ago. The server may have removed its record:
   * then a second submit would run it again.
   */
  isStale(line: number, keepMs: number): boolean {
    const { past } = this;
    return past !== undefined && line <= past.sent && Date.now() - past.lastAt >= keepMs;
  }

  /** Notes that the rest of the run is of another file, server or reading. */
  renew(of: RunOf): void {
    this.#write({ at: Date.now(), of });
  }

  /** Must be called before `line` is sent. */
  reserve(line: number): void {
    if (line <= this.#sent) return;
    this.#sent = line + AHEAD;
    this.#write({ at: Date.now(), sent: this.#sent });
  }

  /** Must be called before the results of `lines` are printed, in `bytes` bytes; `failed` counts lines without a result. */
  announce(lines: LineSet, { failed, bytes }: { failed: number; bytes: number }): void {
    const place = stdoutEnd();
    const at = this.#file.seekSync(0, Deno.SeekMode.Current);
    this.#write({
      at: Date.now(),
      told: lines.toString(),
      ...(failed > 0 ? { failed } : {}),
      ...(place ? { out: { ...place, length: bytes } } : {}),
    });
    this.#open = { at, out: place && { ...place, length: bytes } };
  }

  /**
   * Handles a failed write of results that `announce` noted: their lines are left for another run. A partial write to a
   * file is cut off, so that its last line is complete. For other kinds of output the results stay uncertain: another
   * run prints them again, and says so.
   */
  withdraw(fault: OutputError): void {
    this.#fault = fault;
    const { at, out } = this.#open ?? {};
    if (at === undefined || !out || !takeBack(out, out.length)) return;
    this.#file.truncateSync(at);
    this.#open = undefined;
  }

  /** Removes the journal once all results are printed. Throws `OutputError` if they are not on disk. */
  finish(): void {
    try {
      syncStdout();
    } catch (error) {
      // It is unknown which results are on disk: another run prints all of them.
      this.#write({ at: Date.now(), unsure: true });
      this.#file.close();
      throw error;
    }
    this.#remove();
  }

  #remove(): void {
    this.#file.close();
    attempt(this.path, () => Deno.removeSync(this.path));
  }

  /** Closes the journal of an interrupted run, for another run to resume. */
  close(): void {
    if (!this.isBegun) return this.#remove();
    try {
      if (this.#open && this.#fault === undefined) this.#write({ at: Date.now(), settled: true });
    } catch (error) {
      // Another run compares the length of stdout, or prints these lines again.
      if (!(error instanceof ClientError)) throw error;
    } finally {
      this.#file.close();
    }
  }

  /** Adds an entry, which implies that the results of the `told` before it are printed. */
  #write(entry: Entry): void {
    if (this.#fault !== undefined) throw this.#fault;
    const at = this.#file.seekSync(0, Deno.SeekMode.Current);
    try {
      appendLine(this.#file, { path: this.path, line: entry });
    } catch (error) {
      this.#fault = error;
      // If this fails as well, the reader skips a partial entry.
      this.#file.truncateSync(at);
      throw error;
    }
    this.#open = undefined;
  }
}

/** Appends `line` as JSON. Throws `output_failed` if that fails. */
export function appendLine(
  file: Deno.FsFile,
  { path, line }: { path: string; line: Head | Entry },
): void {
  attempt(path, () => writeAll(file, encoder.encode(`${JSON.stringify(line)}\n`)));
}

export function attempt(path: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    throw cannotWrite(path, error);
  }
}

export function cannotWrite(path: string, cause: unknown): ClientError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new ClientError("output_failed", `cannot write ${quote(path)}: ${reason}`, { cause });
}

function writeAll(file: Deno.FsFile, bytes: Uint8Array): void {
  while (bytes.length > 0) bytes = bytes.subarray(file.writeSync(bytes));
}

/** The common beginning of the ids of a new run: the time and 44 random bits. */
export function newRun(): string {
  return makeTaskId().replaceAll("-", "").slice(0, 24);
}

export function lineTaskId(run: string, line: number): string {
  return `${run}-${line}`;
}
