/**
 * One TCP connection: reads bytes, cuts them into lines, and passes the lines to a `LineHandler`. It closes the connection
 * when both sides are done, or when the other side is too slow. The first line is cut alone: it decides which handler gets
 * the other lines, and how long they can be. The door makes one for each connection.
 */

import type { Wire } from "../../../net/wire.ts";
import { formatDuration } from "../../../protocol/text_forms.ts";
import { MAX_LINE_BYTES, MAX_WORK_HELLO_BYTES } from "../../../protocol/limits.ts";
import { type RecordOpener, SealError } from "../../../protocol/link_seal.ts";
import { type Line, LineSplitter } from "../../../protocol/ndjson.ts";
import type { ServerLimits } from "../../limits.ts";
import type { Log } from "../../log.ts";
import { closeQuietly, logUnlessLost } from "../../../net/lost_connection.ts";
import type { Outbox } from "./outbox.ts";
import type { Sweepable } from "./sweeper.ts";

const NEWLINE = 10;
/** Size of the read buffer at first: there can be thousands of connections, and most send little at a time. */
const FIRST_READ_BYTES = 4 * 1024;
/** Size of the read buffer once a client has filled the first one. */
const READ_BYTES = 64 * 1024;
/** Bytes at the start of a first line that show whether a worker process sends it. */
const HEAD_BYTES = 1024;

/** Number of missed pings after which a client counts as lost. */
const MISSED_PINGS = 3;

/** The reader of a connection's lines: a client's session, or a work link after a first line with `work`. */
export interface LineHandler {
  /** Lines that came together, in their order, with the texts of the lines that are `null`. Resolves when more can be read. */
  handle(lines: readonly Line[], spoiled: readonly string[]): void | Promise<void>;
  /** Drop a last line without a newline: it can be half of a line. */
  readonly wantsNewlines?: true;
  /** A line was longer than `maxBytes`, and nothing after it can be read. */
  overflow(maxBytes: number): void;
  /** Called when the other side has ended its side. Resolves when it has all replies that it waits for. */
  ended(): Promise<void>;
  /** Characters that wait in the handler until the other side has read on. */
  readonly buffered?: number;
  /** Checks the deadlines of the handler, at each turn of the sweeper. */
  sweep?(): void;
  /** The connection has ended. */
  cut(): void;
}

interface ConnectionOptions {
  readonly conn: Wire;
  readonly outbox: Outbox;
  /** Handles the lines until `handOver` returns another handler. */
  readonly handler: LineHandler;
  /**
   * Judges the first line. Returns another handler if the line is for it. Returns `next` if the line is answered
   * already, and the next one is judged in its place.
   */
  readonly handOver: (firstLine: Line) => LineHandler | "next" | undefined;
  readonly limits: ServerLimits;
  readonly maxFirstLineBytes: number;
  /** Whether a first line with this beginning can be as long as the one of a work link. */
  readonly mayBeLonger: (head: Uint8Array) => boolean;
  readonly firstLineMs: number;
  /** The coarse clock of the sweeper. */
  readonly clock: { readonly now: number };
  readonly log: Pick<Log, "bug">;
  /** Reports the reason to a client that was too slow. */
  readonly onLate: (reason: string) => void;
}

export class Connection implements Sweepable {
  readonly #options: ConnectionOptions;
  readonly #splitter: LineSplitter;
  readonly #openedAt: number;
  readonly #ending = Promise.withResolvers<void>();
  #handler: LineHandler;
  #isFirst = true;
  #maxFirstLineBytes: number;
  #hungUp = false;
  /** Decrypts the bytes of a sealed link. */
  #opener: RecordOpener | undefined;
  #onForged: (error: SealError) => void = () => {};
  /** It waits for bytes of the client. The deadlines of the client count only then. */
  #isReading = false;
  /** When the present read began: before it, no bytes of the client could be read. */
  #readingSince: number;
  /** Time between pings that the client announced; 0 if it announced none, and can be silent for ever. */
  #pingEveryMs = 0;
  /** When the present unfinished line began; 0 if there is none. */
  #partialSince = 0;
  /** When `dismiss` was called; 0 before. */
  #dismissedAt = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#handler = options.handler;
    this.#maxFirstLineBytes = options.maxFirstLineBytes;
    this.#splitter = new LineSplitter(options.maxFirstLineBytes);
    this.#splitter.keepsSpoiled = true;
    this.#openedAt = options.clock.now;
    this.#readingSince = options.clock.now;
  }

  get unread(): number {
    return this.#options.outbox.unread + (this.#handler.buffered ?? 0);
  }

  /** Serves the connection to its end; never throws. */
  async serve(): Promise<void> {
    const { conn, outbox, log } = this.#options;
    try {
      await this.#read(conn);
      // A client that sends nothing more may still want its results.
      if (!this.#hungUp) await Promise.race([this.#handler.ended(), this.#ending.promise]);
      await outbox.flushed();
      if (this.#dismissedAt > 0) await this.#linger(conn);
    } catch (error) {
      logUnlessLost(error, log);
    }
    try {
      this.#handler.cut();
    } catch (error) {
      log.bug("server", error);
    }
    outbox.close();
    closeQuietly(conn);
  }

  /** Decrypts all later bytes with `opener`; calls `forged` once if some of them are not under the seal. */
  unseal(opener: RecordOpener, forged: (error: SealError) => void): void {
    this.#opener = opener;
    this.#onForged = forged;
    this.#setMaxFirstLine();
  }

  /** Stops reading; the connection ends when all pushed text is written. */
  hangUp(): void {
    this.#end();
    void this.#options.outbox.flushed().then(() => closeQuietly(this.#options.conn));
  }

  /**
   * Ends the connection after a refusal. For a moment it reads and drops the bytes that the client still sends. If it
   * closed with unread bytes, the system would drop the reason before the client reads it.
   */
  dismiss(): void {
    if (this.#dismissedAt > 0) return;
    this.#dismissedAt = this.#options.clock.now;
    this.#end();
    const { outbox, conn, log } = this.#options;
    void outbox.flushed().then(() => {
      outbox.close();
      return conn.closeWrite();
    }).catch((error: unknown) => {
      logUnlessLost(error, log);
      this.cut();
    });
  }

  /** The client will ping this often; if `MISSED_PINGS` do not come, the connection is cut. */
  expectPings(everyMs: number): void {
    this.#pingEveryMs = everyMs;
  }

  /** Ends it now. */
  cut(): void {
    this.#end();
    this.#options.outbox.close();
    closeQuietly(this.#options.conn);
  }

  sweep(): void {
    const { clock, limits, firstLineMs, outbox, onLate } = this.#options;
    const { now } = clock;
    this.#handler.sweep?.();
    const isOver = (since: number, ms: number) => since > 0 && now - since > ms;
    if (isOver(outbox.stalledSince, limits.writeStallMs)) return this.cut();
    if (isOver(this.#dismissedAt, limits.lingerMs)) return this.cut();
    if (this.#hungUp || !this.#isReading) return;
    if (this.#pingEveryMs > 0 && now - this.#readingSince > MISSED_PINGS * this.#pingEveryMs) {
      return this.cut();
    }
    if (this.#isFirst && isOver(this.#openedAt, firstLineMs)) {
      onLate(`no message came within ${formatDuration(firstLineMs)}`);
    } else if (isOver(this.#partialSince, limits.partialLineMs)) {
      onLate(`a line did not end within ${formatDuration(limits.partialLineMs)} of its beginning`);
    }
  }

  #end(): void {
    this.#hungUp = true;
    this.#ending.resolve();
  }

  async #read(conn: Wire): Promise<void> {
    const { clock } = this.#options;
    const splitter = this.#splitter;
    let buffer = new Uint8Array(FIRST_READ_BYTES);
    while (!this.#hungUp) {
      this.#isReading = true;
      this.#readingSince = clock.now;
      const count = await conn.read(buffer);
      this.#isReading = false;
      if (this.#hungUp) return;
      // The splitter copies the bytes of an unfinished line, so the buffer can be used again.
      const lines = this.#cutLines(count === null ? null : buffer.subarray(0, count));
      const before = clock.now;
      if (splitter.partialBytes === 0) this.#partialSince = 0;
      else if (lines.length > 0 || this.#partialSince === 0) this.#partialSince = before;
      if (lines.length > 0) await this.#handler.handle(lines, this.#splitter.takeSpoiled());
      // While nothing was read here, the client could not end its line.
      if (this.#partialSince > 0) this.#partialSince += clock.now - before;
      if (splitter.overflowed) this.#handler.overflow(this.#maxLineBytes);
      if (splitter.overflowed || count === null) return;
      if (count === buffer.length && count < READ_BYTES) buffer = new Uint8Array(READ_BYTES);
    }
  }

  get #maxLineBytes(): number {
    return this.#isFirst ? this.#maxFirstLineBytes : MAX_LINE_BYTES;
  }

  /** The lines that `chunk` ends, for the handler; `null` is the end of the stream. */
  #cutLines(chunk: Uint8Array | null): Line[] {
    const splitter = this.#splitter;
    if (chunk === null) {
      return this.#handler.wantsNewlines ? [] : this.#admitted(splitter.end());
    }
    if (this.#opener) chunk = this.#opened(chunk);
    while (this.#isFirst && chunk.length > 0 && !splitter.overflowed) {
      const next = chunk.indexOf(NEWLINE) + 1 || chunk.length;
      const piece = chunk.subarray(0, next);
      if (splitter.partialBytes + next > this.#maxFirstLineBytes) this.#stretch(piece);
      const wasSealed = this.#opener !== undefined;
      const first = this.#admitted(splitter.push(piece));
      chunk = chunk.subarray(next);
      if (this.#opener && !wasSealed) chunk = this.#opened(chunk);
      if (!this.#isFirst) return [...first, ...splitter.push(chunk)];
    }
    return this.#isFirst ? [] : splitter.push(chunk);
  }

  /** Called before the first line gets too long: the one of a worker process can be longer than others. */
  #stretch(piece: Uint8Array): void {
    if (this.#maxFirstLineBytes >= MAX_WORK_HELLO_BYTES) return;
    const head = [...this.#splitter.partialHead(HEAD_BYTES), ...piece.subarray(0, HEAD_BYTES)];
    if (this.#options.mayBeLonger(new Uint8Array(head))) this.#setMaxFirstLine();
  }

  #setMaxFirstLine(): void {
    this.#maxFirstLineBytes = MAX_WORK_HELLO_BYTES;
    this.#splitter.maxBytes = MAX_WORK_HELLO_BYTES;
  }

  #opened(chunk: Uint8Array): Uint8Array {
    try {
      return this.#opener!.push(chunk);
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      this.#onForged(error);
      this.#hungUp = true;
      return new Uint8Array(0);
    }
  }

  /** `lines` without the first line of the connection, if that was for the door and not for a handler. */
  #admitted(lines: Line[]): Line[] {
    const [line] = lines;
    if (!this.#isFirst || line === undefined || line === "") return lines;
    const other = this.#options.handOver(line);
    if (other === "next") return lines.slice(1);
    this.#isFirst = false;
    this.#splitter.maxBytes = MAX_LINE_BYTES;
    if (!other) return lines;
    this.#handler = other;
    return lines.slice(1);
  }

  async #linger(conn: Wire): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    // The client or the sweeper ends it.
    while (await conn.read(buffer) !== null);
  }
}
