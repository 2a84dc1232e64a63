/**
 * Reads a write-ahead log before SQLite does, and finds damage that SQLite would take for its end.
 *
 * SQLite plays the log back up to the first frame that is not whole: after a crash that is the torn end of a
 * transaction that nobody was told of. But with every commit on the disk before the next begins, only
 * the last transaction can be torn. Where more than one stands after a bad frame, the log was damaged in its
 * middle, and going on would lose what was acknowledged. (Format: sqlite.org/fileformat2.html#walformat)
 */

export const LOG_HEADER_BYTES = 32;
export const FRAME_HEADER_BYTES = 24;
const MAGIC_LITTLE = 0x377f0682;
const MAGIC_BIG = 0x377f0683;
const FRAMES_AT_A_TIME = 256;

/** Where the first page has the mark of the file, in bytes; see `file_guard.ts`. */
export const MARK_AT = 48;

export interface WalState {
  /** Of the sound part: pages of the database after its last commit, 0 without one. */
  readonly pages: number;
  /** Of the sound part: pages of it beyond `knownPages`. */
  readonly beyond: number;
  /** Bytes up to the end of the last sound commit. */
  readonly soundBytes: number;
  /** Commits after the first frame that is not whole. */
  readonly commitsAfter: number;
  /** Of the sound part: the marks that the first page of the database had in it, in their order. */
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
  // A log of which not even the header was written holds no commit.
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
  /** `null`: it is not whole, so that SQLite takes the log for empty. */
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
      // Without a header, the first frame says which the frames of this log are.
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

/** The checksum of the log goes over pairs of words, in the order of bytes that its magic number says. */
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
