/**
 * One TCP connection: reads chunks, cuts them into lines, hands them to whoever reads it, and closes
 * it when both sides are done. The first line decides who that is: `{"cmd":"work",…}` makes it a work
 * link, anything else a client's session.
 */

import { MAX_LINE_BYTES } from "../../protocol/limits.ts";
import { type Line, LineSplitter } from "../../protocol/ndjson.ts";
import type { LineHandler } from "./line_handler.ts";
import type { Outbox } from "./outbox.ts";

const READ_BYTES = 64 * 1024;

export interface ConnectionOptions {
  readonly conn: Deno.Conn;
  readonly outbox: Outbox;
  /** Who reads it at first. */
  readonly handler: LineHandler;
  /** Another reader, when the very first line asks for one. */
  readonly handOver: (firstLine: Line) => LineHandler | undefined;
}

export class Connection {
  readonly #options: ConnectionOptions;
  #handler: LineHandler;
  readonly #ending = Promise.withResolvers<void>();
  #isFirst = true;
  #hungUp = false;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#handler = options.handler;
  }

  /** Serves the connection to its end; never throws. */
  async serve(): Promise<void> {
    const { conn, outbox } = this.#options;
    try {
      await this.#read(conn);
      // A client that sends nothing more may still want its results.
      if (!this.#hungUp) await Promise.race([this.#handler.ended(), this.#ending.promise]);
      await outbox.flushed();
    } catch {
      // A connection reset by the other side: there is nobody left to tell.
    }
    this.#handler.cut();
    outbox.close();
    closeQuietly(conn);
  }

  /** Stops reading; the connection ends once what was pushed is written. */
  hangUp(): void {
    this.#end();
    void this.#options.outbox.flushed().then(() => closeQuietly(this.#options.conn));
  }

  /** Ends it now. */
  cut(): void {
    this.#end();
    closeQuietly(this.#options.conn);
  }

  #end(): void {
    this.#hungUp = true;
    this.#ending.resolve();
  }

  async #read(conn: Deno.Conn): Promise<void> {
    const splitter = new LineSplitter(MAX_LINE_BYTES);
    const buffer = new Uint8Array(READ_BYTES);
    while (!this.#hungUp) {
      const bytes = await conn.read(buffer);
      const lines = bytes === null ? splitter.end() : splitter.push(buffer.subarray(0, bytes));
      await this.#take(lines);
      if (splitter.overflowed) this.#handler.overflow();
      if (splitter.overflowed || bytes === null) return;
    }
  }

  async #take(lines: Line[]): Promise<void> {
    if (this.#isFirst) {
      const first = lines.findIndex((line) => line !== "");
      if (first < 0) return;
      this.#isFirst = false;
      const other = this.#options.handOver(lines[first] as Line);
      if (other) {
        this.#handler = other;
        lines = lines.slice(first + 1);
      }
    }
    if (lines.length > 0) await this.#handler.handle(lines);
  }
}

function closeQuietly(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch (error) {
    // Closed already, by the other of the two that may end it.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
