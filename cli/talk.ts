/**
 * The one room that writes to stdout and stderr: data on stdout, talk on stderr. Writes are
 * synchronous, so that nothing is lost when the process ends right after, and a slow reader slows the
 * writer down instead of filling its memory. A program that runs on must wait for no reader: its talk is
 * written beside its work (`talkBesideWork`).
 *
 * Talk that cannot be written is dropped: no work ends because its log has no room. Data that cannot
 * be written is an `OutputError`, and the command fails with it.
 */

import { ClientError } from "../net/client_error.ts";
import { EXIT } from "./exit.ts";
import { TalkQueue } from "./talk_queue.ts";

export type Stream = "stdout" | "stderr";

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const NOTHING = new Uint8Array(0);
const RETRY_MS = 2;
/** Longest wait for the reader of a stderr that does not block, in ms; then its talk is dropped. */
const MAX_TALK_WAIT_MS = 1000;

/** Stdout did not take data: its disk is full, or its terminal is gone. */
export class OutputError extends ClientError {
  override readonly name: string = "OutputError";

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super("output_failed", `cannot write to stdout: ${reason}`, { cause });
  }
}

/** What is known of stderr after a write that failed. */
const talkState = {
  /** It took a part of a line: the next one must not go on behind it. */
  isTorn: false,
  /** Its reader has not read for long: no further line waits for it. */
  isStuck: false,
};

/** Set in a program that runs on. */
let queue: TalkQueue | undefined;

/** From now on no write to stderr waits for its reader. `gap` is the line that says how many lines were dropped. */
export function talkBesideWork(gap: (lines: number) => string): void {
  queue = new TalkQueue({ write: (bytes) => Deno.stderr.write(bytes), gap });
}

/** Resolves once all talk is written, or cannot be for long. Call it before the process ends. */
export async function flushTalk(): Promise<void> {
  await queue?.flush(MAX_TALK_WAIT_MS);
}

/** A line of data. */
export function print(text: string): void {
  write("stdout", `${text}\n`);
}

/** A line of talk; false where it could not be written. */
export function say(text: string): boolean {
  return write("stderr", `${text}\n`);
}

/** What is drawn on the last line of the terminal, again and again; what is written takes its place. */
export interface Footer {
  erase(): void;
}

let footer: Footer | undefined;

/** From now on `shown`, or none, stands below whatever is written. */
export function setFooter(shown: Footer | undefined): void {
  footer = shown;
}

/** `text` as it stands, without a newline. Throws `OutputError`, for stdout alone. */
export function write(stream: Stream, text: string): boolean {
  return writeBytes(stream, encoder.encode(text));
}

/** Writes all of `bytes`; false where stderr did not take them. Throws `OutputError`, for stdout alone. */
export function writeBytes(stream: Stream, bytes: Uint8Array): boolean {
  if (footer && Deno[stream].isTerminal()) footer.erase();
  return writeBelow(stream, bytes);
}

/** As a footer writes itself. */
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
      // `sd ls | head -1` ends here, quietly.
      if (error instanceof Deno.errors.BrokenPipe) Deno.exit(EXIT.brokenPipe);
      if (!(error instanceof Deno.errors.WouldBlock)) throw new OutputError(error);
      if (isBuffered) rest = NOTHING;
      pause();
    }
  }
}

/** Sends on what the runtime kept of a write that failed; false where it still cannot be written. */
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

/** A program that shares the pipe or terminal made it non-blocking, and it is full. */
function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
}

/** `text` in a style of `@std/fmt/colors`, where `stream` is a terminal and `NO_COLOR` is unset. */
export function paint(stream: Stream, style: (text: string) => string, text: string): string {
  return !Deno.noColor && Deno[stream].isTerminal() ? style(text) : text;
}

/** Whether what is printed on stdout is read by a person. */
export function stdoutIsTerminal(): boolean {
  return Deno.stdout.isTerminal();
}

/** How wide a line of stdout may be; `undefined` where no person reads it. */
export function stdoutColumns(): number | undefined {
  if (!stdoutIsTerminal()) return undefined;
  try {
    // A terminal that was told no size has 0.
    return Deno.consoleSize().columns || undefined;
  } catch {
    // Some that call themselves terminals have no size at all.
    return undefined;
  }
}

// C0 and C1 controls, DEL, and the marks that reverse the direction of text.
// deno-lint-ignore no-control-regex
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * `text` of a stranger made safe for a terminal: control characters as `\u001b`. A newline and a tab
 * stay where `keepLines` is set.
 */
export function escapeControls(text: string, keepLines = false): string {
  return text.replace(CONTROLS, (char) => {
    if (keepLines && (char === "\n" || char === "\t")) return char;
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** What a pipe takes whole or not at all (PIPE_BUF). */
const MAX_PIECE_BYTES = 4096;
/** The size of the runtime's buffer. */
const BUFFER_BYTES = 1024;
const NEWLINE = 10;

interface Piece {
  readonly bytes: Uint8Array;
  /** After an error it is in the runtime's buffer: an empty write sends it on. */
  readonly isBuffered: boolean;
}

/**
 * Splits `bytes` for stdout. Each piece is written whole or not at all, or stays in the runtime's buffer.
 *
 * The runtime writes stdout through a line buffer. If a write fails after it took a part, or while the last line
 * is in that buffer, the runtime reports an error without the number of bytes that it took: a second write would
 * print that part twice. A piece therefore has one of three shapes:
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

/** Up to the last newline that is near enough. */
function pipePiece(bytes: Uint8Array, at: number): number {
  const most = Math.min(MAX_PIECE_BYTES, bytes.length - at);
  const end = bytes.subarray(at, at + most).lastIndexOf(NEWLINE);
  return end < 0 ? most : end + 1;
}

/** Up to the next newline, or that newline. */
function terminalPiece(bytes: Uint8Array, at: number): number {
  const most = Math.min(BUFFER_BYTES - 1, bytes.length - at);
  const end = bytes.subarray(at, at + most).indexOf(NEWLINE);
  return end < 0 ? most : Math.max(end, 1);
}
