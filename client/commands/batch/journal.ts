/**
 * The journal of a file that is being submitted: a file beside it, there until every line has been
 * told. It is written ahead of what it tells, so that `kill -9` at any moment leaves no more open than
 * the results of one write. `journal_past.ts` describes what stands in it.
 */

import type { OutputError } from "../../../cli/talk.ts";
import { ClientError } from "../../../net/client_error.ts";
import { quote } from "../../../protocol/errors.ts";
import { makeTaskId } from "../../task/task_line.ts";
import type { Entry, Head, Out, Past, RunOf } from "./journal_reader.ts";
import type { LineSet } from "./line_set.ts";
import { stdoutEnd, syncStdout, takeBack } from "./stdout_file.ts";

/** Lines that are noted as sent at a time, ahead. */
const AHEAD = 256;

const encoder = new TextEncoder();

export interface JournalParts {
  path: string;
  /** Open, locked, and at its end. */
  file: Deno.FsFile;
  run: string;
  past: Past | undefined;
}

export class Journal {
  readonly run: string;
  readonly path: string;
  /** Of the run before this one, where it goes on. */
  readonly past: Past | undefined;
  readonly #file: Deno.FsFile;
  #sent: number;
  /** The `told` that nothing shows to have been printed, and where it begins in the journal. */
  #open: { at: number; out: Out | undefined } | undefined;
  /** Why nothing more is written: an entry would say that an open `told` has been printed. */
  #fault: unknown;

  constructor({ path, file, run, past }: JournalParts) {
    this.path = path;
    this.run = run;
    this.past = past;
    this.#file = file;
    this.#sent = past?.sent ?? 0;
  }

  /** Whether there is anything to go on with. */
  get isBegun(): boolean {
    return this.#sent > 0;
  }

  /** Whether `line` was told by the run before. */
  isFinished(line: number): boolean {
    return this.past?.finished.has(line) ?? false;
  }

  /**
   * Whether the run before may have sent `line` so long ago that its record may be gone: then nobody
   * can tell by sending it again whether it has run.
   */
  isStale(line: number, keepMs: number): boolean {
    const { past } = this;
    return past !== undefined && line <= past.sent && Date.now() - past.lastAt >= keepMs;
  }

  /** From here on it is a run of this. */
  renew(of: RunOf): void {
    this.#write({ at: Date.now(), of });
  }

  /** Before `line` is sent. */
  reserve(line: number): void {
    if (line <= this.#sent) return;
    this.#sent = line + AHEAD;
    this.#write({ at: Date.now(), sent: this.#sent });
  }

  /** Before the results of `lines` are printed, in `bytes` bytes; `failed` of them are none. */
  tell(lines: LineSet, { failed, bytes }: { failed: number; bytes: number }): void {
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
   * Stdout did not take all of what `tell` announced: its lines are left for another run. The part
   * that a file took is cut off, so that its last line is whole. What another kind of output took stays
   * uncertain: another run prints it again, and says so.
   */
  untell(fault: OutputError): void {
    this.#fault = fault;
    const { at, out } = this.#open ?? {};
    if (at === undefined || !out || !takeBack(out, out.length)) return;
    this.#file.truncateSync(at);
    this.#open = undefined;
  }

  /** Everything has been told: there is nothing to go on with. Throws `OutputError` where that is not on disk. */
  finish(): void {
    try {
      syncStdout();
    } catch (error) {
      // Which results are on disk is not known: another run prints all of them.
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

  /** The rest is left for another run. */
  close(): void {
    if (!this.isBegun) return this.#remove();
    try {
      if (this.#open && this.#fault === undefined) this.#write({ at: Date.now(), settled: true });
    } catch (error) {
      // Another run finds out by the length of stdout, or prints these lines again.
      if (!(error instanceof ClientError)) throw error;
    } finally {
      this.#file.close();
    }
  }

  /** Adds an entry. It shows that the lines of the `told` before it have been printed. */
  #write(entry: Entry): void {
    if (this.#fault !== undefined) throw this.#fault;
    const at = this.#file.seekSync(0, Deno.SeekMode.Current);
    try {
      appendLine(this.#file, { path: this.path, line: entry });
    } catch (error) {
      this.#fault = error;
      // A part of an entry is passed over when the journal is read.
      this.#file.truncateSync(at);
      throw error;
    }
    this.#open = undefined;
  }
}

/** Appends `line` as JSON. Throws `output_failed` where that does not succeed. */
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

/** What the ids of a new run begin with: the time, and 44 bits at random. */
export function newRun(): string {
  return makeTaskId().replaceAll("-", "").slice(0, 24);
}

export function lineTaskId(run: string, line: number): string {
  return `${run}-${line}`;
}
