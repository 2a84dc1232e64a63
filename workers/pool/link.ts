/**
 * The work link: one connection to a server. It introduces this process, takes leased tasks and orders, sends results
 * and reports, and renews the leases that are held. A link is not reopened: `PoolProcess` opens another one.
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
/** Time for the last line to a silent server, in ms. */
const LAST_LINE_MS = 100;
const ALIVE = JSON.stringify({ alive: true } satisfies PoolReport);
const READ_BYTES = 64 * 1024;
const LETTER_AT = '{"le'.length, LETTER_A = 97;
const BRACE = 123;
const CLOSED = "the server closed the connection without a reply";
const PERHAPS_TLS = "; if it speaks TLS, use --tls, or --tls-ca FILE with its certificate";
const NO_SERVER = "this is no server of sd, or one of another release";
/** Time for the report that a link was tampered with, in ms. */
const TAMPER_REPORT_MS = 500;
const EMPTY_LINE = new Uint8Array([10]);

interface LinkOptions {
  readonly server: PoolStart["server"];
  /** The seal proves it; it is never sent. */
  readonly secret: string;
  readonly hello: WorkHello;
  /** Takes leased-task lines, and may keep the array. */
  readonly accept: (lines: string[]) => void;
  readonly order: (order: ServerOrder) => void;
  /** All leases held now. */
  readonly leases: () => number[];
  /** Longest silence of a server that sends signs of life, in ms; absent: no limit. */
  readonly silentServerMs?: number | undefined;
}

/** The rules of a server for runs that outlive their link. */
interface LinkTerms {
  /** How long runs may go on without a server, in ms; absent: they must stop at once. */
  readonly holdMs: number | undefined;
  /** The runs of the link before that are valid again. */
  readonly held: readonly number[];
}

/** The server breaks the protocol of the link, or is silent. */
class LinkError extends Error {
  override readonly name = "LinkError";
}

/** Whether `error` is an expected end of a link; anything else is a bug. */
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
  /** Lines that came in the same read as the welcome. */
  #early: Line[] = [];
  #renewal: ReturnType<typeof setInterval> | undefined;
  #opener: RecordOpener | undefined;
  #isGreeted = false;
  /** Each read over TLS is answered at once by an empty line, under the seal: see `net/prompt_wire.ts`. */
  #acknowledges = false;
  #terms: LinkTerms = { holdMs: undefined, held: [] };
  /** Silence after which another server may have taken over, in ms. */
  #strictSilenceMs = Infinity;
  #life: ReturnType<typeof setInterval> | undefined;
  /** Silence of the server while this process was awake, in ms. */
  #silentMs = 0;
  /** The silence for which this process left the server, in ms. */
  #leftAfterMs = 0;
  #isJudging = false;
  readonly #closing = new AbortController();
  #closed = false;

  private constructor(conn: Wire, options: LinkOptions) {
    this.#conn = conn;
    this.#options = options;
    this.writer = new LineWriter(conn, this.#broken.reject);
    // Without a waiter this is no unhandled rejection.
    this.#broken.promise.catch(() => undefined);
  }

  /** Connects and is accepted. Throws an error of the system, or an `SdError` if the server refuses. */
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

  get terms(): LinkTerms {
    return this.#terms;
  }

  /** How long the server has sent nothing, in ms of time in which this process was awake. */
  get silentMs(): number {
    return Math.max(this.#silentMs, this.#leftAfterMs);
  }

  /** Carries tasks and orders until the connection ends; throws if it ends by an error. */
  async run(): Promise<void> {
    try {
      await Promise.race([this.#broken.promise, this.#read()]);
    } catch (error) {
      if (error instanceof SealError) await this.#reportForged(error);
      if (!this.#closed) throw error;
    } finally {
      this.close();
    }
  }

  /** Sends the remaining lines and the end of the stream, then gives the server `ms` to close first. */
  async finish(ms: number): Promise<void> {
    try {
      await this.#flushed(ms);
      await this.#conn.closeWrite();
      await deadline(this.#broken.promise, ms);
    } catch (error) {
      // The server closed, or it took too long: the link ends in both cases.
      if (!isExpected(error)) throw error;
    }
    this.close();
  }

  /** Resolves when the system has all lines so far, or after `ms`. */
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
    // The server must send nothing else before the hello.
    if (early.length > 0) throw new LinkError("the server sent a line before it was asked");
    const { sealer, opener } = acceptSealAnswer({ offer, answer, secret });
    this.writer.sealer = sealer;
    this.#opener = opener;
    this.writer.line(JSON.stringify(hello));
    const [welcome, ...rest] = await this.#someLines();
    const reply = throwRefusal(welcome) as Partial<WorkWelcome>;
    const { work, lease_ms, alive_ms, hold_ms, silent_ms = Infinity, held = [] } = reply;
    if (work !== "ok" || lease_ms === undefined) throw new LinkError(NO_SERVER);
    this.#terms = { holdMs: hold_ms, held };
    this.#strictSilenceMs = silent_ms;
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
      if (!lines) {
        throw new LinkError(this.#options.server.tls ? CLOSED : `${CLOSED}${PERHAPS_TLS}`);
      }
      const [first, ...rest] = lines;
      if (first) return [first, ...rest];
      if (first === null) throw new LinkError(NO_SERVER);
    }
  }

  #renew(): void {
    const leases = this.#options.leases();
    if (leases.length > 0) this.writer.line(JSON.stringify({ renew: leases }));
  }

  /** Sends signs of life, and watches the silence of the server. An older server does not ask for this. */
  #showLife(everyMs: number): void {
    // Time in which this process was stopped is no silence of the server.
    const awake = new AwakeClock({ stepMs: 2 * everyMs });
    this.#life = setInterval(() => {
      // Lines that wait for the server are a sign of life already.
      if (this.writer.waiting === 0) this.writer.line(ALIVE);
      this.#silentMs += awake.passed();
      const { silentServerMs = Infinity } = this.#options;
      if (this.#silentMs > this.#strictSilenceMs) {
        return void this.#leaveSilent(Math.round(this.#silentMs));
      }
      if (this.#silentMs > silentServerMs && !this.#isJudging) {
        void this.#judge(silentServerMs, everyMs);
      }
    }, everyMs);
  }

  /** Waits for a silent server whose process is stopped; otherwise closes the link. */
  async #judge(silentServerMs: number, everyMs: number): Promise<void> {
    this.#isJudging = true;
    const { signal } = this.#closing;
    const isSilent = () => !this.#closed && this.#silentMs > silentServerMs;
    while (isSilent()) {
      if (await isStoppedServer(this.#options.server, signal)) continue;
      // It can have continued just now: then it sends on this link as well.
      for (let i = 0; i < 3 && isSilent(); i++) await delay(everyMs);
      if (isSilent()) await this.#leaveSilent(silentServerMs);
    }
    this.#isJudging = false;
  }

  async #leaveSilent(ms: number): Promise<void> {
    clearInterval(this.#life);
    this.#leftAfterMs = this.#silentMs;
    this.#silentMs = 0;
    // If the server wakes up, it learns that this process did not die of its tasks.
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

  /** The lines of one read, perhaps none; `undefined` at the end of the connection. */
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
    // No record begins with a brace. A server that could not open the hello sends a plain refusal.
    if (!this.#opener || !this.#isGreeted && bytes[0] === BRACE) return bytes;
    return this.#opener.push(bytes);
  }

  /** Reports that bytes from the server are missing. The other direction still works. */
  async #reportForged({ message }: SealError): Promise<void> {
    this.writer.line(JSON.stringify({ forged: message } satisfies PoolReport));
    // If the server reads no more, it closes the link anyway.
    await this.#flushed(TAMPER_REPORT_MS);
  }

  #take(lines: Line[]): void {
    const { accept, order } = this.#options;
    if (lines.every(isLeasedTask)) {
      if (lines.length > 0) accept(lines);
      return;
    }
    // Orders are rare; the tasks before an order are taken before it.
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

/** The server's answer in `line`. Throws an `SdError` if the server refuses. */
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

/** Reads only the third letter of the first member's name: it is an `a` in `lease`, and in no order. */
function isLeasedTask(line: Line): line is string {
  return line !== null && line.charCodeAt(LETTER_AT) === LETTER_A;
}

/** Whether the server's system takes connections while its process answers on none for some seconds. */
async function isStoppedServer(server: PoolStart["server"], signal: AbortSignal): Promise<boolean> {
  let wire: Wire | undefined;
  let isTaken = false;
  try {
    // Without TLS: the process would have to answer the handshake.
    (await connect({ hostname: server.hostname, port: server.port }, signal)).close();
    isTaken = true;
    wire = await connect(server, signal);
    await wire.write(new TextEncoder().encode(`${newSealOffer()}\n`));
    await deadline(wire.read(new Uint8Array(READ_BYTES)), CONNECT_MS, { signal });
    return false;
  } catch (error) {
    if (!isExpected(error)) throw error;
    // Any other failure is an answer: of the process, or of a system without that process.
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
