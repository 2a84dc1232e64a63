/**
 * One TCP connection: reads chunks, cuts them into lines, hands them to its reader, and closes it when
 * both sides are done, or when the other side is too slow. The first line is taken alone: it decides which reader
 * gets the others, and how long they can be.
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
/** Until a client has once sent as much at a time: most never do, and there may be thousands. */
const FIRST_READ_BYTES = 4 * 1024;
const READ_BYTES = 64 * 1024;
/** Bytes of a first line in which a worker process has named itself. */
const HEAD_BYTES = 1024;

/** A client that has missed this many of its own pings is gone. */
const MISSED_PINGS = 3;

/** The reader of a connection's lines: a client's session, or a work link after a first line with `work`. */
export interface LineHandler {
  /** Lines that came together, in their order, with the texts of the lines that are `null`. Resolves when more may be read. */
  handle(lines: readonly Line[], spoiled: readonly string[]): void | Promise<void>;
  /** A last line without its newline is not read: it may be half of one. */
  readonly wantsNewlines?: true;
  /** A line was longer than `maxBytes`, and nothing after it can be read. */
  overflow(maxBytes: number): void;
  /** The other side sends nothing more; resolves when it has all replies that it waits for. */
  ended(): Promise<void>;
  /** Characters that wait here until the other side has read on. */
  readonly buffered?: number;
  /** Looks at what it waits for; called as often as the sweeper looks. */
  sweep?(): void;
  /** The connection is gone. */
  cut(): void;
}

interface ConnectionOptions {
  readonly conn: Wire;
  readonly outbox: Outbox;
  /** The reader at first. */
  readonly handler: LineHandler;
  /**
   * Another reader, if the first line asks for it; `sealed` if it asks for a seal, and the first line under the
   * seal decides.
   */
  readonly handOver: (firstLine: Line) => LineHandler | "sealed" | undefined;
  readonly limits: ServerLimits;
  readonly maxFirstLineBytes: number;
  /** Whether a first line that begins so may be as long as that of a work link. */
  readonly mayBeLonger: (head: Uint8Array) => boolean;
  readonly firstLineMs: number;
  /** The sweeper's. */
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
  /** Opens what comes in, on a sealed link. */
  #opener: RecordOpener | undefined;
  #onForged: (error: SealError) => void = () => {};
  /** Waits for bytes of the client: only then is time running against it. */
  #isReading = false;
  /** When it began to wait for what comes next: before that, the client could not be heard. */
  #readingSince: number;
  /** How often the client means to ping; 0 where it has not said so, and may be silent for ever. */
  #pingEveryMs = 0;
  /** When the line began that has not ended; 0 while there is none. */
  #partialSince = 0;
  /** When it was dismissed; 0 before. */
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

  /** What comes in from now on is under a seal; `forged` is called once when some of it is not. */
  unseal(opener: RecordOpener, forged: (error: SealError) => void): void {
    this.#opener = opener;
    this.#onForged = forged;
    this.#setMaxFirstLine();
  }

  /** Stops reading; the connection ends once what was pushed is written. */
  hangUp(): void {
    this.#end();
    void this.#options.outbox.flushed().then(() => closeQuietly(this.#options.conn));
  }

  /**
   * The same, after a refusal: what the client still sends is read and dropped for a moment. Closed
   * with bytes unread, the system would take the reason back from the client.
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

  /** The client pings this often; when some pings do not come, it is gone. */
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
      // The bytes are copied where a line needs them longer than this.
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

  /** The first line is about to be too long: that of a worker process may be longer than others. */
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

  /** `lines` without the first of all when that was meant for the door. */
  #admitted(lines: Line[]): Line[] {
    const [line] = lines;
    if (!this.#isFirst || line === undefined || line === "") return lines;
    const other = this.#options.handOver(line);
    if (other === "sealed") return lines.slice(1);
    this.#isFirst = false;
    this.#splitter.maxBytes = MAX_LINE_BYTES;
    if (!other) return lines;
    this.#handler = other;
    return lines.slice(1);
  }

  async #linger(conn: Wire): Promise<void> {
    const buffer = new Uint8Array(READ_BYTES);
    // Ended by the client, or by the sweeper.
    while (await conn.read(buffer) !== null);
  }
}
