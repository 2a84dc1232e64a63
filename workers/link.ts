/**
 * One connection to a server: says who we are, takes leased tasks and orders from it, carries results
 * and reports to it, renews what is held. It never comes back; whoever opened it opens another.
 */

import { deadline } from "@std/async/deadline";
import { dial, type Wire } from "../cli/dial.ts";
import { formatDuration } from "../protocol/duration.ts";
import { type ErrorBody, SdError } from "../protocol/errors.ts";
import { MAX_WORK_LINE_BYTES } from "../protocol/limits.ts";
import { type Line, LineSplitter } from "../protocol/ndjson.ts";
import type { PoolStart } from "../protocol/pool_start.ts";
import type { ServerOrder, WorkHello, WorkWelcome } from "../protocol/work_message.ts";
import { LineWriter } from "./line_writer.ts";

const CONNECT_MS = 10_000;
const READ_BYTES = 64 * 1024;
const LETTER_AT = '{"le'.length, LETTER_A = 97;

export interface LinkOptions {
  readonly server: PoolStart["server"];
  readonly hello: WorkHello;
  /** Takes leased-task lines; the array is the taker's. */
  readonly accept: (lines: string[]) => void;
  readonly order: (order: ServerOrder) => void;
  /** The leases that are held now. */
  readonly leases: () => number[];
}

export class Link {
  readonly writer: LineWriter;
  readonly #conn: Wire;
  readonly #options: LinkOptions;
  readonly #splitter = new LineSplitter(MAX_WORK_LINE_BYTES);
  readonly #buffer = new Uint8Array(READ_BYTES);
  readonly #broken = Promise.withResolvers<never>();
  /** What came right behind the welcome. */
  #early: Line[] = [];
  #renewal: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  private constructor(conn: Wire, options: LinkOptions) {
    this.#conn = conn;
    this.#options = options;
    this.writer = new LineWriter(conn, this.#broken.reject);
    // Whoever waits for the end of the link is told; while nobody does, it is no stray rejection.
    this.#broken.promise.catch(() => undefined);
  }

  /** Connects and is let in. Throws what the system says, or an `SdError` where the server refuses. */
  static async open(options: LinkOptions): Promise<Link> {
    const conn = await connect(options.server);
    const link = new Link(conn, options);
    try {
      link.writer.line(JSON.stringify(options.hello));
      await deadline(link.#greet(), CONNECT_MS);
      return link;
    } catch (error) {
      link.close();
      throw error;
    }
  }

  /** Carries tasks and orders until the connection ends; throws where it does not end in peace. */
  async run(): Promise<void> {
    try {
      await Promise.race([this.#broken.promise, this.#read()]);
    } catch (error) {
      if (!this.#closed) throw error;
    } finally {
      this.close();
    }
  }

  /** Sends what is left, says that no more will come, gives the server `ms` to close first. */
  async finish(ms: number): Promise<void> {
    try {
      await deadline(this.writer.flushed(), ms);
      await this.#conn.closeWrite();
      await deadline(this.#broken.promise, ms);
    } catch {
      // The server closed, or it took too long; there is nothing more to say to it either way.
    }
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#renewal);
    this.#conn.close();
    this.#broken.reject(new Error("the link was closed"));
  }

  async #greet(): Promise<void> {
    for (;;) {
      const lines = await this.#readLines();
      if (!lines) throw new Error("the server closed the connection before it said anything");
      const [first, ...rest] = lines;
      if (first === undefined) continue;
      const answer = JSON.parse(first ?? "null") as WorkWelcome | { error: ErrorBody } | null;
      if (answer && "error" in answer) throw new SdError(answer.error.code, answer.error.message);
      if (answer?.work !== "ok") {
        throw new Error("this is no server of sd, or one of another release");
      }
      // Two renewals may be lost before the server takes the tasks back.
      this.#renewal = setInterval(() => this.#renew(), answer.lease_ms / 3);
      this.#early = rest;
      return;
    }
  }

  #renew(): void {
    const leases = this.#options.leases();
    if (leases.length > 0) this.writer.line(JSON.stringify({ renew: leases }));
  }

  async #read(): Promise<void> {
    this.#take(this.#early);
    for (let lines = await this.#readLines(); lines; lines = await this.#readLines()) {
      if (lines.length > 0) this.#take(lines);
    }
  }

  /** The lines that came in, maybe none; `undefined` at the end of the connection. */
  async #readLines(): Promise<Line[] | undefined> {
    const count = await this.#conn.read(this.#buffer);
    if (count === null) return undefined;
    const lines = this.#splitter.push(this.#buffer.subarray(0, count));
    if (this.#splitter.overflowed) throw new Error("the server sent a line beyond the limit");
    return lines;
  }

  #take(lines: Line[]): void {
    const { accept, order } = this.#options;
    if (lines.every(isLeasedTask)) {
      if (lines.length > 0) accept(lines);
      return;
    }
    // Orders are rare; the tasks before one are taken before it.
    let tasks: string[] = [];
    for (const line of lines) {
      if (isLeasedTask(line)) {
        tasks.push(line);
        continue;
      }
      if (tasks.length > 0) accept(tasks);
      tasks = [];
      if (line === null) throw new Error("the server sent bytes that are not UTF-8");
      if (line !== "") order(JSON.parse(line) as ServerOrder);
    }
    if (tasks.length > 0) accept(tasks);
  }
}

/** By the third letter of its name alone: an order is a `cancel` or a `lost`. */
function isLeasedTask(line: Line): line is string {
  return line !== null && line.charCodeAt(LETTER_AT) === LETTER_A;
}

/** Connects within `CONNECT_MS`. */
async function connect(server: PoolStart["server"]): Promise<Wire> {
  const aborter = new AbortController();
  const late = new Error(`no answer for ${formatDuration(CONNECT_MS)}`);
  const timer = setTimeout(() => aborter.abort(late), CONNECT_MS);
  try {
    return await dial(server, aborter.signal);
  } finally {
    clearTimeout(timer);
  }
}
