/**
 * Lines on their way out of a connection, and the turns in which they are written. Text that is pushed before the turn of
 * its outbox, or during a write, goes out as one write. Sessions and work links push; the door makes an outbox for each
 * connection, and one `FlushTurns` for all.
 *
 * Each outbox writes once in a turn of the event loop, after all messages that came together were handled. A write costs
 * as much as some ten tasks, most of it for waking the reader, so under load there must be few. An acknowledgement alone
 * helps no client that waits for the result. So if many connections are due one, each waits a moment, and then mostly
 * leaves together with the result.
 */

import { setImmediate } from "node:timers";
import type { Wire } from "../../../net/wire.ts";
import type { RecordSealer } from "../../../protocol/link_seal.ts";
import type { Log } from "../../log.ts";
import { logUnlessLost } from "../../../net/lost_connection.ts";

/** Unread characters above which a client is slow: its next lines are not read until it has read on. */
const HIGH_WATER_CHARS = 4 * 1024 * 1024;

const encoder = new TextEncoder();

interface OutboxOptions {
  readonly turns: FlushTurns;
  readonly onLost: () => void;
  /** Most unread bytes; above the limit the connection is cut. */
  readonly maxUnreadBytes: number;
  /** The coarse clock of the sweeper. */
  readonly clock: { readonly now: number };
  readonly log: Pick<Log, "bug">;
}

export class Outbox implements Flushable {
  readonly #conn: Wire;
  readonly #turns: FlushTurns;
  /** Cuts the connection. */
  readonly #onLost: () => void;
  #maxUnreadBytes: number;
  readonly #clock: OutboxOptions["clock"];
  readonly #log: OutboxOptions["log"];
  #text = "";
  /** Bytes of the write under way that the system has not taken. */
  #unwritten = 0;
  #stalledSince = 0;
  #writing: Promise<void> | undefined;
  /** Waits for the end of the write under way, or of the outbox. */
  #waiting: (() => void)[] = [];
  /** The queue of the turns that it is in. */
  #queued: "urgent" | "calm" | undefined;
  #closed = false;
  #sealer: RecordSealer | undefined;

  constructor(conn: Wire, { turns, onLost, maxUnreadBytes, clock, log }: OutboxOptions) {
    this.#conn = conn;
    this.#turns = turns;
    this.#onLost = onLost;
    this.#maxUnreadBytes = maxUnreadBytes;
    this.#clock = clock;
    this.#log = log;
  }

  /** Lifts the limit on unread bytes. For worker processes: they get no more tasks than they ask for. */
  trust(): void {
    this.#maxUnreadBytes = Infinity;
  }

  /** Seals the text that is pushed from now on, or sends it plainly if there is no sealer. Earlier text is written first. */
  seal(sealer: RecordSealer | undefined): void {
    this.flush();
    this.#sealer = sealer;
  }

  /** The size of the text that the other side has not read: in characters, or in bytes during their write. */
  get unread(): number {
    return this.#text.length + this.#unwritten;
  }

  /** When the present write last made progress; 0 if there is none. */
  get stalledSince(): number {
    return this.#stalledSince;
  }

  /** `text` is one line or more, newline included. */
  push(text: string): void {
    if (this.#closed) return;
    this.#text += text;
    if (this.unread > this.#maxUnreadBytes) return this.#lose();
    if (this.#writing || this.#queued === "urgent") return;
    this.#queued = "urgent";
    this.#turns.addUrgent(this);
  }

  /** Pushes text that helps the client little before more text comes: it can wait for `CALM_MS`. */
  pushCalm(text: string): void {
    if (this.#closed) return;
    this.#text += text;
    if (this.unread > this.#maxUnreadBytes) return this.#lose();
    if (this.#writing || this.#queued) return;
    this.#queued = "calm";
    this.#turns.addCalm(this);
  }

  /** Begins to write the pushed text. */
  flush(): void {
    this.#queued = undefined;
    if (this.#text === "" || this.#writing) return;
    const writing = this.#write();
    // A wire that fails at once has ended the write already, and closed this.
    if (!this.#closed) this.#writing = writing;
  }

  /** Resolves when there is less than `HIGH_WATER_CHARS` to write. */
  async room(): Promise<void> {
    while (this.#text.length > HIGH_WATER_CHARS) await this.#step();
  }

  /** Resolves when all text pushed so far is written, or can never be written. */
  async flushed(): Promise<void> {
    while (!this.#closed && (this.#text !== "" || this.#writing)) await this.#step();
  }

  /** Resolves when the last write has ended in the system. */
  async released(): Promise<void> {
    while (this.#writing) await this.#writing;
  }

  /**
   * Drops all text. A write can go on: before Deno 2.9, closing a connection does not end it. It ends when the other side
   * reads or leaves.
   */
  close(): void {
    this.#closed = true;
    this.#text = "";
    this.#wake();
  }

  #step(): Promise<void> {
    this.flush();
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wake(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  async #write(): Promise<void> {
    try {
      while (this.#text !== "") {
        const text = encoder.encode(this.#text);
        const bytes = this.#sealer ? this.#sealer.seal(text) : text;
        this.#text = "";
        for (let offset = 0; offset < bytes.length;) {
          this.#unwritten = bytes.length - offset;
          this.#stalledSince = this.#clock.now;
          offset += await this.#conn.write(offset === 0 ? bytes : bytes.subarray(offset));
        }
        this.#unwritten = 0;
        this.#stalledSince = 0;
      }
    } catch (error) {
      logUnlessLost(error, this.#log);
      this.#lose();
    } finally {
      this.#writing = undefined;
      this.#unwritten = 0;
      this.#stalledSince = 0;
      this.#wake();
    }
  }

  #lose(): void {
    this.close();
    this.#onLost();
  }
}

/** An outbox that has text to write, as the turns see it. */
interface Flushable {
  flush(): void;
}

/** Most acknowledgements that are written without a wait. */
const CALM_AT_ONCE = 4;
/** Longest wait of an acknowledgement when there are more, in ms. */
const CALM_MS = 4;

export class FlushTurns {
  #urgent: Flushable[] = [];
  #calm: Flushable[] = [];
  /** Outboxes whose acknowledgements leave when the timer fires. */
  #waiting: Flushable[] = [];
  #isScheduled = false;

  addUrgent(outbox: Flushable): void {
    this.#urgent.push(outbox);
    this.#schedule();
  }

  addCalm(outbox: Flushable): void {
    this.#calm.push(outbox);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#take());
  }

  #take(): void {
    this.#isScheduled = false;
    const urgent = this.#urgent;
    this.#urgent = [];
    for (const outbox of urgent) outbox.flush();
    const calm = this.#calm;
    if (calm.length <= CALM_AT_ONCE && this.#waiting.length === 0) {
      this.#calm = [];
      for (const outbox of calm) outbox.flush();
    } else if (this.#waiting.length === 0) {
      this.#calm = [];
      this.#waiting = calm;
      setTimeout(() => this.#endWait(), CALM_MS);
    }
  }

  /** Flushes the calm outboxes. One that got urgent text in the meantime has written all, so its flush does nothing. */
  #endWait(): void {
    const waited = this.#waiting;
    this.#waiting = [];
    for (const outbox of waited) outbox.flush();
    if (this.#calm.length > 0) this.#schedule();
  }
}
