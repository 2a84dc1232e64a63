/**
 * The write-ahead log beside the file of a store (format: sqlite.org/fileformat2.html#walformat).
 *
 * `checkWal` reads a log before SQLite does, and finds damage that SQLite would take for its end. SQLite plays the log
 * back up to the first frame that is not whole; after a crash that is the torn end of a transaction that was never
 * acknowledged. But every commit is on the disk before the next begins, so only the last transaction can be torn. If more
 * than one commit stands after a bad frame, the log was damaged in its middle, and acknowledged tasks would be lost.
 *
 * `LogFile` knows where the committed part of the open log ends, and cuts off the rest. A commit that fails in its sync can
 * stand whole in the log, and a server that opens the file would play it back. So the store thread looks up the end of the
 * log after each commit, and cuts the log there after each failure. Invariant: before a commit begins, no frame behind the
 * end has the salts of the log's header. Frames of earlier logs, with other salts, may lie there.
 */

const LOG_HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
const MAGIC_LITTLE = 0x377f0682;
const MAGIC_BIG = 0x377f0683;
const FRAMES_AT_A_TIME = 256;

/** Offset of the mark of the file in its first page, in bytes; see `file_guard.ts`. */
export const MARK_AT = 48;

export interface WalState {
  /** Pages of the database after the last sound commit; 0 without one. */
  readonly pages: number;
  /** Pages beyond `knownPages` in the sound part. */
  readonly beyond: number;
  /** Bytes up to the end of the last sound commit. */
  readonly soundBytes: number;
  /** Commits after the first frame that is not whole. */
  readonly commitsAfter: number;
  /** The marks of the first page of the database in the sound part, in their order. */
  readonly marks: readonly number[];
}

export const NO_LOG: WalState = {
  pages: 0,
  beyond: 0,
  soundBytes: 0,
  commitsAfter: 0,
  marks: [],
};

type Sums = [number, number];

/** `knownPages`: how many pages the main file has, at `pageBytes` each. */
export function checkWal(
  file: Deno.FsFile,
  { knownPages, pageBytes }: { knownPages: number; pageBytes: number },
): WalState {
  const size = file.statSync().size;
  // A log without a whole header holds no commit.
  if (size <= LOG_HEADER_BYTES) return NO_LOG;
  const header = new DataView(readAt(file, 0, LOG_HEADER_BYTES).buffer);
  const magic = header.getUint32(0);
  const little = magic !== MAGIC_BIG;
  const sums: Sums = [0, 0];
  addSums(sums, header, { from: 0, to: 24, little });
  const whole = (magic === MAGIC_LITTLE || magic === MAGIC_BIG) &&
    header.getUint32(8) === pageBytes &&
    header.getUint32(24) === sums[0] && header.getUint32(28) === sums[1];
  return walk(file, { size, pageBytes, knownPages, little, header: whole ? header : null, sums });
}

interface Walk {
  readonly size: number;
  readonly pageBytes: number;
  readonly knownPages: number;
  readonly little: boolean;
  /** `null` if it is not whole: SQLite then takes the log for empty. */
  readonly header: DataView | null;
  readonly sums: Sums;
}

function walk(file: Deno.FsFile, log: Walk): WalState {
  const frameBytes = FRAME_HEADER_BYTES + log.pageBytes;
  const frames = Math.floor((log.size - LOG_HEADER_BYTES) / frameBytes);
  let salts: [number, number] | null = log.header &&
    [log.header.getUint32(16), log.header.getUint32(20)];
  let sound = log.header !== null;
  const sums: Sums = [...log.sums];
  const beyond = new Set<number>();
  let state = NO_LOG;
  const marks: number[] = [];
  let commitsAfter = 0;
  for (let first = 0; first < frames; first += FRAMES_AT_A_TIME) {
    const count = Math.min(FRAMES_AT_A_TIME, frames - first);
    const bytes = readAt(file, LOG_HEADER_BYTES + first * frameBytes, count * frameBytes);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at + frameBytes <= bytes.length; at += frameBytes) {
      const page = view.getUint32(at);
      // Without a header, the salts of the first frame identify the frames of this log.
      salts ??= [view.getUint32(at + 8), view.getUint32(at + 12)];
      const ours = page !== 0 && view.getUint32(at + 8) === salts[0] &&
        view.getUint32(at + 12) === salts[1];
      const commit = view.getUint32(at + 4);
      if (sound && ours) {
        addSums(sums, view, { from: at, to: at + 8, little: log.little });
        const data = { from: at + FRAME_HEADER_BYTES, to: at + frameBytes, little: log.little };
        addSums(sums, view, data);
      }
      sound &&= ours && view.getUint32(at + 16) === sums[0] && view.getUint32(at + 20) === sums[1];
      if (!sound) {
        if (ours && commit !== 0) commitsAfter++;
        continue;
      }
      if (page > log.knownPages) beyond.add(page);
      if (page === 1) {
        const mark = view.getUint32(at + FRAME_HEADER_BYTES + MARK_AT);
        if (marks.at(-1) !== mark) marks.push(mark);
      }
      if (commit === 0) continue;
      let reached = 0;
      for (const known of beyond) if (known <= commit) reached++;
      const end = LOG_HEADER_BYTES + first * frameBytes + at + frameBytes;
      state = {
        pages: commit,
        beyond: reached,
        soundBytes: end,
        commitsAfter: 0,
        marks: [...marks],
      };
    }
  }
  return { ...state, commitsAfter };
}

/** Adds to the checksum of the log, which goes over pairs of words in the byte order of its magic number. */
function addSums(
  sums: Sums,
  view: DataView,
  { from, to, little }: { from: number; to: number; little: boolean },
): void {
  let [a, b] = sums;
  for (let at = from; at < to; at += 8) {
    a = (a + view.getUint32(at, little) + b) >>> 0;
    b = (b + view.getUint32(at + 4, little) + a) >>> 0;
  }
  sums[0] = a;
  sums[1] = b;
}

/** Up to `bytes` bytes from `at`; fewer only at the end of the file. */
export function readAt(file: Deno.FsFile, at: number, bytes: number): Uint8Array<ArrayBuffer> {
  file.seekSync(at, Deno.SeekMode.Start);
  const all = new Uint8Array(bytes);
  let filled = 0;
  while (filled < bytes) {
    const read = file.readSync(all.subarray(filled));
    if (read === null || read === 0) return all.slice(0, filled);
    filled += read;
  }
  return all;
}

/** Bytes of the salts in the header and in each frame. */
const SALT_BYTES = 8;
const SALTS_IN_HEADER_AT = 16;
const SALTS_IN_FRAME_AT = 8;

interface LogFileOptions {
  readonly path: string;
  readonly pageBytes: number;
}

export class LogFile {
  readonly path: string;
  readonly #file: Deno.FsFile;
  readonly #frameBytes: number;
  readonly #buffer = new Uint8Array(SALT_BYTES);
  /** Salts of the log that was last seen; `null` for an empty file. */
  #salts: bigint | null = null;
  #frames = 0;
  /** A cut has shortened the file, but is not on the disk yet. */
  #isUnsynced = false;

  /** Opens the log of a connection that was just opened: SQLite has played back its sound part. */
  constructor({ path, pageBytes }: LogFileOptions) {
    this.path = path;
    this.#frameBytes = FRAME_HEADER_BYTES + pageBytes;
    this.#file = Deno.openSync(path, { read: true, write: true });
    try {
      const { soundBytes } = checkWal(this.#file, { knownPages: 0, pageBytes });
      this.#salts = soundBytes === 0 ? null : this.#saltsAt(SALTS_IN_HEADER_AT);
      this.#frames = Math.floor(Math.max(0, soundBytes - LOG_HEADER_BYTES) / this.#frameBytes);
    } catch (error) {
      this.#file.close();
      throw error;
    }
  }

  /** Frames up to the end of the last commit. */
  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#frames === 0 ? 0 : LOG_HEADER_BYTES + this.#frames * this.#frameBytes;
  }

  stat(): Deno.FileInfo {
    return this.#file.statSync();
  }

  /** Looks up the end after a commit; true if the log has changed since the last look. */
  note(): boolean {
    const salts = this.#saltsAt(SALTS_IN_HEADER_AT);
    const before = this.#frames;
    const isNew = salts !== this.#salts;
    if (isNew) this.#frames = 0;
    this.#salts = salts;
    if (salts !== null) this.#frames = this.#lastFrame(salts, this.#frames);
    return isNew || this.#frames !== before;
  }

  /**
   * Cuts off the remains of a failed commit, and waits for the disk. Throws the error of the system; call it again
   * then.
   */
  cut(): void {
    // The failed commit can have begun a new log: then all earlier commits are in the main file.
    const end = this.#saltsAt(SALTS_IN_HEADER_AT) === this.#salts ? this.bytes : 0;
    const { size } = this.#file.statSync();
    if (size <= end && !this.#isUnsynced) return;
    // A failed sync can have lost the cut: a change of the length makes the system write it again.
    if (this.#isUnsynced) this.#file.truncateSync(end + 1);
    this.#isUnsynced = true;
    this.#file.truncateSync(end);
    this.#file.syncSync();
    this.#isUnsynced = false;
  }

  close(): void {
    this.#file.close();
  }

  /** The number of the last frame with these salts; the first `known` frames have them. */
  #lastFrame(salts: bigint, known: number): number {
    let low = known;
    let step = 1;
    while (this.#saltsOfFrame(low + step) === salts) {
      low += step;
      step *= 2;
    }
    // Frame `low` has the salts, frame `low + step` does not.
    for (; step > 1;) {
      const half = step >> 1;
      if (this.#saltsOfFrame(low + half) === salts) {
        low += half;
        step -= half;
      } else step = half;
    }
    return low;
  }

  /** The salts of a frame; frames are counted from 1. */
  #saltsOfFrame(frame: number): bigint | null {
    const at = LOG_HEADER_BYTES + (frame - 1) * this.#frameBytes;
    return this.#saltsAt(at + SALTS_IN_FRAME_AT);
  }

  #saltsAt(at: number): bigint | null {
    this.#file.seekSync(at, Deno.SeekMode.Start);
    for (let filled = 0; filled < SALT_BYTES;) {
      const read = this.#file.readSync(this.#buffer.subarray(filled));
      if (read === null || read === 0) return null;
      filled += read;
    }
    return new DataView(this.#buffer.buffer).getBigUint64(0);
  }
}
