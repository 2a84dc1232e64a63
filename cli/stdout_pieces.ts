/**
 * Bytes for stdout, in pieces of which each is written whole or not at all, or waits in the runtime.
 *
 * The runtime writes stdout through a buffer of whole lines. If a write fails after a part of it was
 * taken, or while its last line is in that buffer, the runtime reports an error and not how much it took:
 * to write it again doubles the part. So a piece has one of three shapes:
 *
 *     …\n          up to 4096 bytes that end a line: a pipe takes all of them or none
 *     1024 to 4096 bytes without a newline: the same
 *     less, without a newline: the buffer takes them, and an empty write sends them on
 *
 * A terminal can take a part of anything but a single byte: there a newline is a piece of its own.
 */

/** What a pipe takes whole or not at all (PIPE_BUF). */
const MAX_PIECE_BYTES = 4096;
/** The size of the runtime's buffer. */
const BUFFER_BYTES = 1024;
const NEWLINE = 10;

export interface Piece {
  readonly bytes: Uint8Array;
  /** After an error it is in the runtime's buffer: an empty write sends it on. */
  readonly isBuffered: boolean;
}

export function* stdoutPieces(bytes: Uint8Array, isTerminal: boolean): Generator<Piece> {
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
