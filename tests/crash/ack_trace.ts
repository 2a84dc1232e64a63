/**
 * Reads the system calls of a server. For each line that acknowledges a task, or reports its end, it decides whether the
 * change was on the disk before the first byte of that line went to a socket. On the disk means: the task was in a page
 * written to the WAL, the transaction of that page was committed there, and a later sync of the WAL had ended.
 */

import { type SystemCall, TraceReader } from "./system_call.ts";

export interface AckVerdict {
  /** Lines that acknowledge a task, and how many of them came after a sync. */
  acknowledged: number;
  acknowledgedSafely: number;
  ended: number;
  endedSafely: number;
  syncs: number;
  /** The first few that were not safe. */
  readonly examples: string[];
}

const FRAME_HEADER_BYTES = 24;
const MARKS = /mark-\d+-|[0-9a-f]{64}/g;
const ACKNOWLEDGED = /^\{"task_id":"[^"]*","status":"\w+","ref":"(mark-\d+-)"\}$/;
const ENDED = /"status":"completed","result":"([0-9a-f]{64})","ref":"mark-\d+-"\}$/;
const EXAMPLES = 5;

/** Tasks are `hash` with a `ref` like `mark-7-`; their results are SHA-256 in hex. */
export class AckTrace {
  readonly verdict: AckVerdict = {
    acknowledged: 0,
    acknowledgedSafely: 0,
    ended: 0,
    endedSafely: 0,
    syncs: 0,
    examples: [],
  };
  readonly #reader = new TraceReader();
  /** The runtime has stores of its own, with other WALs. */
  readonly #wal: string;
  /** The transaction in which each mark was first written. */
  readonly #written = new Map<string, number>();
  /** Transactions begun; the last one is not committed. */
  #transaction = 1;
  #isCommitFrame = false;
  /** Committed in the WAL, and synced: up to and including this one. */
  #committed = 0;
  #synced = 0;
  /** What `#committed` was when a sync began, by thread and call. */
  readonly #syncs = new Map<number, number>();
  /** What `#synced` was when a write to a socket began. */
  readonly #sends = new Map<number, number>();
  /** The beginning of a line by socket, and what was synced when it was sent. */
  readonly #tails = new Map<string, { text: string; synced: number }>();

  /** `wal` is the path of the WAL. */
  constructor(wal: string) {
    this.#wal = wal;
  }

  push(line: string): void {
    const begun = this.#reader.begun(line);
    if (begun?.path === this.#wal && isSync(begun.name)) {
      this.#syncs.set(begun.from, this.#committed);
    } else if (begun && isSocket(begun.path)) {
      this.#sends.set(begun.from, this.#synced);
    }
    const call = this.#reader.ended(line);
    if (!call) return;
    if (isSocket(call.path)) this.#sent(call);
    else if (call.path !== this.#wal) return;
    else if (isSync(call.name)) this.#wasSynced(call);
    else this.#wasWritten(call);
  }

  #wasWritten({ data, result }: SystemCall): void {
    if (result === FRAME_HEADER_BYTES) {
      // The size of the database after the commit; 0 in frames that do not commit.
      this.#isCommitFrame = data.slice(4, 8) !== "\0\0\0\0";
      return;
    }
    for (const [mark] of data.matchAll(MARKS)) {
      if (!this.#written.has(mark)) this.#written.set(mark, this.#transaction);
    }
    if (!this.#isCommitFrame) return;
    this.#isCommitFrame = false;
    this.#committed = this.#transaction++;
  }

  #wasSynced({ from, result }: SystemCall): void {
    if (result !== 0) return;
    this.verdict.syncs++;
    this.#synced = Math.max(this.#synced, this.#syncs.get(from) ?? 0);
    this.#syncs.delete(from);
  }

  #sent({ path, from, data, result }: SystemCall): void {
    if (result <= 0) return;
    const synced = this.#sends.get(from) ?? 0;
    this.#sends.delete(from);
    const tail = this.#tails.get(path) ?? { text: "", synced };
    const lines = (tail.text + data.slice(0, result)).split("\n");
    const rest = lines.pop() ?? "";
    lines.forEach((line, i) => this.#said(line, i === 0 ? tail.synced : synced));
    if (rest === "") this.#tails.delete(path);
    else this.#tails.set(path, { text: rest, synced: lines.length === 0 ? tail.synced : synced });
  }

  #said(line: string, synced: number): void {
    const { verdict } = this;
    const acknowledged = ACKNOWLEDGED.exec(line)?.[1];
    const ended = acknowledged === undefined ? ENDED.exec(line)?.[1] : undefined;
    const mark = acknowledged ?? ended;
    if (mark === undefined) return;
    const isSafe = (this.#written.get(mark) ?? Infinity) <= synced;
    if (acknowledged !== undefined) {
      verdict.acknowledged++;
      if (isSafe) verdict.acknowledgedSafely++;
    } else {
      verdict.ended++;
      if (isSafe) verdict.endedSafely++;
    }
    if (!isSafe && verdict.examples.length < EXAMPLES) {
      const written = this.#written.get(mark) ?? "none";
      verdict.examples.push(`${line}: in transaction ${written}, synced were ${synced}`);
    }
  }
}

function isSync(name: string): boolean {
  return name === "fsync" || name === "fdatasync";
}

function isSocket(path: string): boolean {
  return path.startsWith("socket:") || path.startsWith("TCP");
}
