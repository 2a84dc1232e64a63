/**
 * All writes to stdout and stderr: data on stdout, talk on stderr. Writes are synchronous: nothing is lost if the
 * process ends right after, and a slow reader slows the writer down instead of filling its memory. A server must
 * not wait for a reader: it writes its talk in the background (`talkBesideWork`).
 *
 * Talk that cannot be written is dropped, so that a full log never ends any work. Data that cannot be written is an
 * `OutputError`, and the command fails.
 */

import { ClientError } from "../net/client_error.ts";
import { EXIT } from "./exit.ts";
import { TalkQueue } from "./talk_queue.ts";

type Stream = "stdout" | "stderr";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const NOTHING = new Uint8Array(0);
/** Pause before a non-blocking stream is tried again, in ms. */
const RETRY_MS = 2;
/** Longest wait for the reader of a non-blocking stderr, in ms; then the line is dropped. */
const MAX_TALK_WAIT_MS = 1000;

/** A failed write of data to stdout: its disk is full, or its terminal is closed. */
export class OutputError extends ClientError {
  override readonly name: string = "OutputError";

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super("output_failed", `cannot write to stdout: ${reason}`, { cause });
  }
}

/** The state of stderr after a failed write. */
const talkState = {
  /** It took a part of a line: the next line must begin with a newline. */
  isTorn: false,
  /** Its reader has stopped reading: no further line waits for it. */
  isStuck: false,
};

/** Set in a long-running program. */
let queue: TalkQueue | undefined;

/** Makes writes to stderr wait for no reader. `gap` is the line that reports how many lines were dropped. */
export function talkBesideWork(gap: (lines: number) => string): void {
  queue = new TalkQueue({ write: (bytes) => Deno.stderr.write(bytes), gap });
}

/** Resolves once all talk is written, after `MAX_TALK_WAIT_MS` at the latest. Call it before the process ends. */
export async function flushTalk(): Promise<void> {
  await queue?.flush(MAX_TALK_WAIT_MS);
}

/** Writes a line of data. */
export function print(text: string): void {
  write("stdout", `${text}\n`);
}

/** Writes a line of talk; returns false if it could not be written. */
export function say(text: string): boolean {
  return write("stderr", `${text}\n`);
}

/** A line that is redrawn at the bottom of the terminal; every other output erases it first. */
export interface Footer {
  erase(): void;
}

let footer: Footer | undefined;

/** Sets or removes the line below all output. */
export function setFooter(shown: Footer | undefined): void {
  footer = shown;
}

/** Writes `text` without a newline. Throws `OutputError` for stdout only. */
export function write(stream: Stream, text: string): boolean {
  return writeBytes(stream, encoder.encode(text));
}

/** Writes all of `bytes`; returns false if stderr failed. Throws `OutputError` for stdout only. */
export function writeBytes(stream: Stream, bytes: Uint8Array): boolean {
  if (footer && Deno[stream].isTerminal()) footer.erase();
  return writeBelow(stream, bytes);
}

/** Writes without erasing the footer. The footer itself is written by it. */
export function writeBelow(stream: Stream, bytes: Uint8Array): boolean {
  if (stream === "stderr") return writeTalk(bytes);
  for (const piece of stdoutPieces(bytes, stdoutIsTerminal())) writePiece(piece);
  return true;
}

function writePiece({ bytes, isBuffered }: Piece): void {
  let rest = bytes;
  for (;;) {
    try {
      rest = rest.subarray(Deno.stdout.writeSync(rest));
      if (rest.length === 0) return;
    } catch (error) {
      // `sd ls | head -1` ends here, without a message.
      if (error instanceof Deno.errors.BrokenPipe) Deno.exit(EXIT.brokenPipe);
      if (!(error instanceof Deno.errors.WouldBlock)) throw new OutputError(error);
      if (isBuffered) rest = NOTHING;
      pause();
    }
  }
}

/** Writes the rest of a failed write that the runtime kept; false if it still fails. */
export function drainStdout(): boolean {
  try {
    Deno.stdout.writeSync(NOTHING);
    return true;
  } catch {
    return false;
  }
}

function writeTalk(bytes: Uint8Array): boolean {
  if (queue) {
    queue.add(bytes);
    return true;
  }
  let rest = talkState.isTorn ? encoder.encode(`\n${decoder.decode(bytes)}`) : bytes;
  const { length } = rest;
  const until = performance.now() + (talkState.isStuck ? 0 : MAX_TALK_WAIT_MS);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(Deno.stderr.writeSync(rest));
    } catch (error) {
      const isLate = error instanceof Deno.errors.WouldBlock;
      if (isLate && performance.now() < until) {
        pause();
        continue;
      }
      if (isLate) talkState.isStuck = true;
      if (rest.length < length) talkState.isTorn = true;
      return false;
    }
  }
  talkState.isTorn = talkState.isStuck = false;
  return true;
}

/** Waits for a full pipe or terminal that another program has made non-blocking. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
}

/** `text` in a style of `@std/fmt/colors` if `stream` is a terminal and `NO_COLOR` is unset. */
export function paint(stream: Stream, style: (text: string) => string, text: string): string {
  return !Deno.noColor && Deno[stream].isTerminal() ? style(text) : text;
}

/** Whether a person reads stdout. */
export function stdoutIsTerminal(): boolean {
  return Deno.stdout.isTerminal();
}

/** Columns of the terminal on stdout; `undefined` if it is no terminal or has no size. */
export function stdoutColumns(): number | undefined {
  if (!stdoutIsTerminal()) return undefined;
  try {
    // A terminal without a size has 0.
    return Deno.consoleSize().columns || undefined;
  } catch {
    // Some terminals have no size at all.
    return undefined;
  }
}

// C0 and C1 controls, DEL, and the marks that reverse the direction of text.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * `text` made safe for a terminal: control characters become `\u001b`. With `keepLines` newlines and tabs stay.
 */
export function escapeControls(text: string, keepLines = false): string {
  return text.replace(CONTROLS, (char) => {
    if (keepLines && (char === "\n" || char === "\t")) return char;
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Most bytes that a pipe takes whole or not at all (PIPE_BUF). */
const MAX_PIECE_BYTES = 4096;
/** Size of the line buffer of the runtime, in bytes. */
const BUFFER_BYTES = 1024;
const NEWLINE = 10;

interface Piece {
  readonly bytes: Uint8Array;
  /** After an error the runtime's buffer holds it: an empty write sends it on. */
  readonly isBuffered: boolean;
}

/**
 * Splits `bytes` for stdout. Each piece is written whole or not at all, or stays in the runtime's buffer.
 *
 * The runtime writes stdout through a line buffer. A write can fail after a part of it was taken. The runtime then
 * does not report the length of that part, and a second write would print it twice. A piece therefore has one of
 * three shapes:
 *
 *     …\n          up to 4096 bytes that end a line: a pipe takes all of them or none
 *     1024 to 4096 bytes without a newline: the same
 *     less, without a newline: the buffer takes them, and an empty write sends them on
 *
 * A terminal can take a part of anything longer than a byte: there each newline is a piece of its own.
 */
function* stdoutPieces(bytes: Uint8Array, isTerminal: boolean): Generator<Piece> {
  for (let at = 0; at < bytes.length;) {
    const length = isTerminal ? terminalPiece(bytes, at) : pipePiece(bytes, at);
    const piece = bytes.subarray(at, at + length);
    yield {
      bytes: piece,
      isBuffered: length < BUFFER_BYTES && piece[length - 1] !== NEWLINE,
    };
    at += length;
  }
}

/** Length of the piece at `at` for a pipe: up to the last newline within the limit. */
function pipePiece(bytes: Uint8Array, at: number): number {
  const most = Math.min(MAX_PIECE_BYTES, bytes.length - at);
  const end = bytes.subarray(at, at + most).lastIndexOf(NEWLINE);
  return end < 0 ? most : end + 1;
}

/** Length of the piece at `at` for a terminal: up to the next newline, or that newline. */
function terminalPiece(bytes: Uint8Array, at: number): number {
  const most = Math.min(BUFFER_BYTES - 1, bytes.length - at);
  const end = bytes.subarray(at, at + most).indexOf(NEWLINE);
  return end < 0 ? most : Math.max(end, 1);
}
