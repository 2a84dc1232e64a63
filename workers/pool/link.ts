/**
 * One connection to a server: says who we are, takes leased tasks and orders from it, carries results
 * and reports to it, renews what is held. It never comes back; whoever opened it opens another.
 */

import { deadline } from "@std/async/deadline";
import { delay } from "@std/async/delay";
import { AwakeClock } from "../../net/awake_clock.ts";
import { dial, type Wire } from "../../net/dial.ts";
import { isLostConnection } from "../../net/lost_connection.ts";
import { formatDuration } from "../../protocol/text_forms.ts";
import { type ErrorBody, SdError } from "../../protocol/errors.ts";
import { MAX_WORK_LINE_BYTES } from "../../protocol/limits.ts";
import {
  acceptSealAnswer,
  newSealOffer,
  type RecordOpener,
  SealError,
} from "../../protocol/link_seal.ts";
import { type Line, LineSplitter } from "../../protocol/ndjson.ts";
import type { PoolStart } from "../../protocol/pool_start.ts";
import type {
  PoolReport,
  ServerOrder,
  WorkHello,
  WorkWelcome,
} from "../../protocol/work_message.ts";
import { LineWriter } from "./line_writer.ts";

const CONNECT_MS = 10_000;
/** For the last line to a server that is silent. */
const LAST_LINE_MS = 100;
const ALIVE = JSON.stringify({ alive: true } satisfies PoolReport);
const READ_BYTES = 64 * 1024;
const LETTER_AT = '{"le'.length, LETTER_A = 97;
const BRACE = 123;
const NO_SERVER = "this is no server of sd, or one of another release";
/** For the last word to the server, on a link of which something is missing. */
const LAST_WORD_MS = 500;
const EMPTY_LINE = new Uint8Array([10]);

export interface LinkOptions {
  readonly server: PoolStart["server"];
  /** Proved by the seal, and never sent. */
  readonly secret: string;
  readonly hello: WorkHello;
  /** Takes leased-task lines; the array is the taker's. */
  readonly accept: (lines: string[]) => void;
  readonly order: (order: ServerOrder) => void;
  /** The leases that are held now. */
  readonly leases: () => number[];
  /** How long a server that shows life may send nothing before it is given up, in ms; absent: for ever. */
  readonly silentServerMs?: number | undefined;
}

/** The server does not speak as it should, or not at all. */
export class LinkError extends Error {
  override readonly name = "LinkError";
}

/** Whether `error` is how a link may end; anything else is a bug. */
export function isExpected(error: unknown): boolean {
  return error instanceof LinkError || error instanceof SealError || error instanceof SdError ||
    isLostConnection(error) ||
    (error instanceof DOMException && error.name === "TimeoutError");
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
  #opener: RecordOpener | undefined;
  #isGreeted = false;
  /** What is read over TLS is answered by something at once, under the seal: see `net/prompt_wire.ts`. */
  #acknowledges = false;
  #life: ReturnType<typeof setInterval> | undefined;
  /** For how long the server has sent nothing while this process was awake, in ms. */
  #silentMs = 0;
  #isJudging = false;
  readonly #closing = new AbortController();
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
      if (error instanceof SealError) await this.#tellForged(error);
      if (!this.#closed) throw error;
    } finally {
      this.close();
    }
  }

  /** Sends what is left, says that no more will come, gives the server `ms` to close first. */
  async finish(ms: number): Promise<void> {
    try {
      await this.#flushed(ms);
      await this.#conn.closeWrite();
      await deadline(this.#broken.promise, ms);
    } catch (error) {
      // The server closed, or it took too long; there is nothing more to say to it either way.
      if (!isExpected(error)) throw error;
    }
    this.close();
  }

  /** Resolves when all is with the system that was written so far, or after `ms`. */
  async #flushed(ms: number): Promise<void> {
    try {
      await deadline(this.writer.flushed(), ms);
    } catch (error) {
      if (!isExpected(error)) throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#renewal);
    clearInterval(this.#life);
    this.#closing.abort(new LinkError("the link was closed"));
    this.#conn.close();
    this.#broken.reject(new LinkError("the link was closed"));
  }

  async #greet(): Promise<void> {
    const { hello, secret } = this.#options;
    const offer = newSealOffer();
    this.writer.line(offer);
    const [answer, ...early] = await this.#someLines();
    throwRefusal(answer);
    // Nothing comes behind the answer before this side has said who it is.
    if (early.length > 0) throw new LinkError("the server said more than it was asked");
    const { sealer, opener } = acceptSealAnswer({ offer, answer, secret });
    this.writer.sealer = sealer;
    this.#opener = opener;
    this.writer.line(JSON.stringify(hello));
    const [welcome, ...rest] = await this.#someLines();
    const { work, lease_ms, alive_ms } = throwRefusal(welcome) as Partial<WorkWelcome>;
    if (work !== "ok" || lease_ms === undefined) throw new LinkError(NO_SERVER);
    this.#isGreeted = true;
    this.#acknowledges = this.#options.server.tls !== undefined;
    // Two renewals may be lost before the server takes the tasks back.
    this.#renewal = setInterval(() => this.#renew(), lease_ms / 3);
    if (alive_ms !== undefined) this.#showLife(alive_ms);
    this.#early = rest;
  }

  /** One line or more. */
  async #someLines(): Promise<[string, ...Line[]]> {
    for (;;) {
      const lines = await this.#readLines();
      if (!lines) throw new LinkError("the server closed the connection before it said anything");
      const [first, ...rest] = lines;
      if (first) return [first, ...rest];
      if (first === null) throw new LinkError(NO_SERVER);
    }
  }

  #renew(): void {
    const leases = this.#options.leases();
    if (leases.length > 0) this.writer.line(JSON.stringify({ renew: leases }));
  }

  /** Both sides write as often; an older server does not ask for it. */
  #showLife(everyMs: number): void {
    // A stop of this process is no silence of the server.
    const awake = new AwakeClock({ stepMs: 2 * everyMs });
    this.#life = setInterval(() => {
      // What the server has not read yet is sign enough.
      if (this.writer.waiting === 0) this.writer.line(ALIVE);
      this.#silentMs += awake.passed();
      const { silentServerMs = Infinity } = this.#options;
      if (this.#silentMs > silentServerMs && !this.#isJudging) {
        void this.#judge(silentServerMs, everyMs);
      }
    }, everyMs);
  }

  /** Waits for a silent server while its process stands still, and otherwise gives it up. */
  async #judge(silentServerMs: number, everyMs: number): Promise<void> {
    this.#isJudging = true;
    const { signal } = this.#closing;
    const isSilent = () => !this.#closed && this.#silentMs > silentServerMs;
    while (isSilent()) {
      if (await standsStill(this.#options.server, signal)) continue;
      // It may have gone on just now, and say so on this link as well.
      for (let i = 0; i < 3 && isSilent(); i++) await delay(everyMs);
      if (isSilent()) await this.#leaveSilent(silentServerMs);
    }
    this.#isJudging = false;
  }

  async #leaveSilent(ms: number): Promise<void> {
    clearInterval(this.#life);
    this.#silentMs = 0;
    // Should the server wake up, it learns that this process has not died with its tasks.
    this.writer.line(JSON.stringify({ retire: [] } satisfies PoolReport));
    await this.#flushed(LAST_LINE_MS);
    this.#broken.reject(new LinkError(`the server has sent nothing for ${formatDuration(ms)}`));
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
    this.#silentMs = 0;
    if (count === null) return undefined;
    if (this.#acknowledges) this.writer.write(EMPTY_LINE);
    const lines = this.#splitter.push(this.#opened(this.#buffer.subarray(0, count)));
    if (this.#splitter.overflowed) throw new LinkError("the server sent a line beyond the limit");
    return lines;
  }

  #opened(bytes: Uint8Array): Uint8Array {
    // No record begins with a brace: a server that could not open the hello has no other way to say so.
    if (!this.#opener || !this.#isGreeted && bytes[0] === BRACE) return bytes;
    return this.#opener.push(bytes);
  }

  /** What this side writes is whole: the server learns which tasks were here. */
  async #tellForged({ message }: SealError): Promise<void> {
    this.writer.line(JSON.stringify({ forged: message } satisfies PoolReport));
    // It may not read any more, which is as good.
    await this.#flushed(LAST_WORD_MS);
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
      if (line === null) throw new LinkError("the server sent bytes that are not UTF-8");
      if (line !== "") order(parsed(line) as ServerOrder);
    }
    if (tasks.length > 0) accept(tasks);
  }
}

/** The server's answer in `line`. Throws an `SdError` where it refuses. */
function throwRefusal(line: string): object {
  let answer: unknown;
  try {
    answer = JSON.parse(line);
  } catch (error) {
    throw new LinkError(NO_SERVER, { cause: error });
  }
  if (typeof answer !== "object" || answer === null) throw new LinkError(NO_SERVER);
  if ("error" in answer) {
    const { code, message } = answer.error as ErrorBody;
    throw new SdError(code, message);
  }
  return answer;
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch (error) {
    throw new LinkError("the server sent a line that is not JSON", { cause: error });
  }
}

/** By the third letter of the first member's name alone: that of `lease` is an `a`, and of no order. */
function isLeasedTask(line: Line): line is string {
  return line !== null && line.charCodeAt(LETTER_AT) === LETTER_A;
}

/** Whether the system of the server takes connections, and its process answers on none for some seconds. */
async function standsStill(server: PoolStart["server"], signal: AbortSignal): Promise<boolean> {
  let wire: Wire | undefined;
  let isTaken = false;
  try {
    // Without TLS: shaking hands is for the process.
    (await connect({ hostname: server.hostname, port: server.port }, signal)).close();
    isTaken = true;
    wire = await connect(server, signal);
    await wire.write(new TextEncoder().encode(`${newSealOffer()}\n`));
    await deadline(wire.read(new Uint8Array(READ_BYTES)), CONNECT_MS, { signal });
    return false;
  } catch (error) {
    if (!isExpected(error)) throw error;
    // What else fails is an answer, of the process or of a system that has none any more.
    return isTaken && isLate(error);
  } finally {
    wire?.close();
  }
}

function isLate(error: unknown): boolean {
  return error instanceof LinkError ||
    error instanceof DOMException && error.name === "TimeoutError";
}

/** Connects within `CONNECT_MS`. */
async function connect(server: PoolStart["server"], signal?: AbortSignal): Promise<Wire> {
  const aborter = new AbortController();
  const late = new LinkError(`no answer for ${formatDuration(CONNECT_MS)}`);
  const timer = setTimeout(() => aborter.abort(late), CONNECT_MS);
  try {
    const signals = signal ? [aborter.signal, signal] : [aborter.signal];
    return await dial({ ...server, isSealed: true }, AbortSignal.any(signals));
  } finally {
    clearTimeout(timer);
  }
}
