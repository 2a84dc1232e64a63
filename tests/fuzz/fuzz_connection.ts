/**
 * One connection of the fuzzer: sends bytes as they are, keeps what the server owes for them, and holds
 * every line that comes back against it. A reply that nothing asked for is a fault, so is one that is
 * wrong, and one that never comes.
 */

import { deadline } from "@std/async/deadline";
import { FAILURE_CODES, REFUSAL_CODES } from "../../protocol/errors.ts";
import { Expected, type Reply } from "./expected.ts";
import { type Forecast, forecast } from "./forecast.ts";
import { MAX_LINE_BYTES } from "./frames.ts";

/** Longest silence of a connection that owes a reply, in ms; after it, the connection hangs. */
const PATIENCE_MS = 60_000;
/** A result has a limit of its own; `get` puts some hundred bytes around it. */
const MAX_REPLY_BYTES = MAX_LINE_BYTES + 4096;
const NEWLINE = 10;

/** The server did what it must never do. */
export class Fault extends Error {
  override readonly name = "Fault";
}

/** Counts replies by what they were. */
export type Tally = Map<string, number>;

export class FuzzConnection implements Disposable {
  readonly #conn: Deno.TcpConn;
  readonly #tally: Tally;
  /** What the server owes, by the ref that it must come with. */
  readonly #owed = new Map<string, Expected[]>();
  #owing = 0;
  #toCancel: string[] = [];
  #cancels = 0;
  #fault: Error | undefined;
  #ended = false;
  #moved = Promise.withResolvers<void>();
  readonly #reading: Promise<void>;

  private constructor(conn: Deno.TcpConn, tally: Tally) {
    this.#conn = conn;
    this.#tally = tally;
    this.#reading = this.#read();
  }

  static async connect(
    address: { hostname: string; port: number },
    tally: Tally,
  ): Promise<FuzzConnection> {
    const conn = await Deno.connect(address);
    conn.setNoDelay(true);
    return new FuzzConnection(conn, tally);
  }

  /** Notes what the server owes for the lines in `bytes`, which must end with a newline. */
  expectLines(bytes: Uint8Array): void {
    for (let start = 0; start < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline < 0 ? bytes.length : newline;
      const line = bytes.subarray(start, end);
      this.expect(forecast(line), line);
      start = end + 1;
    }
  }

  expect(what: Forecast, line: Uint8Array): void {
    if (what.is === "nothing") return;
    const key = keyOf(what.ref);
    const list = this.#owed.get(key);
    const expected = new Expected(what, line);
    if (list) list.push(expected);
    else this.#owed.set(key, [expected]);
    this.#owing++;
  }

  /** Throws what `Deno.Conn.write` throws. */
  async send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  closeWrite(): Promise<void> {
    return this.#conn.closeWrite();
  }

  /** Waits until nothing is owed any more. Tasks that take long are cancelled on the way. */
  async settled(): Promise<void> {
    while (this.#owing > 0) {
      if (this.#toCancel.length > 0) await this.#sendCancels();
      if (this.#ended) {
        throw this.#fault ?? new Fault(`closed before all was answered: ${this.#describe()}`);
      }
      await this.#progress();
    }
    if (this.#fault) throw this.#fault;
  }

  /** Waits until the server has closed the connection, everything answered. */
  async closedByServer(): Promise<void> {
    while (!this.#ended) await this.#progress();
    await this.settled();
  }

  /** Closes it without a word; what is owed is never asked for again. */
  async cut(): Promise<void> {
    this[Symbol.dispose]();
    await this.#reading;
  }

  [Symbol.dispose](): void {
    this.#owed.clear();
    this.#owing = 0;
    try {
      this.#conn.close();
    } catch (error) {
      // Closed already.
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  async #progress(): Promise<void> {
    try {
      await deadline(this.#moved.promise, PATIENCE_MS);
    } catch (error) {
      throw new Fault(`nothing came for ${PATIENCE_MS} ms; still owed: ${this.#describe()}`, {
        cause: error,
      });
    }
  }

  async #sendCancels(): Promise<void> {
    let text = "";
    for (const id of this.#toCancel.splice(0)) {
      text += `{"cmd":"cancel","task_id":"${id}","ref":"cancel/${++this.#cancels}"}\n`;
    }
    const bytes = new TextEncoder().encode(text);
    this.expectLines(bytes);
    await this.send(bytes);
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(128 * 1024);
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
    let rest = "";
    try {
      for (let n = await this.#conn.read(buffer); n !== null; n = await this.#conn.read(buffer)) {
        const lines = (rest + decoder.decode(buffer.subarray(0, n), { stream: true })).split("\n");
        rest = lines.pop() ?? "";
        if (rest.length > MAX_REPLY_BYTES) throw new Fault("a reply has no end");
        for (const line of lines) this.#take(line);
        this.#notify();
      }
      if (rest !== "") throw new Fault(`the last reply has no newline: ${excerpt(rest)}`);
    } catch (error) {
      // A server that closes while something is on its way to it resets the connection.
      const { BadResource, ConnectionReset, Interrupted } = Deno.errors;
      const isClosed = [BadResource, ConnectionReset, Interrupted].some((kind) =>
        error instanceof kind
      );
      if (!isClosed) this.#fault = error instanceof Error ? error : new Fault(String(error));
    }
    this.#ended = true;
    this.#notify();
  }

  #notify(): void {
    this.#moved.resolve();
    this.#moved = Promise.withResolvers();
  }

  #take(line: string): void {
    if (line.length > MAX_REPLY_BYTES) throw new Fault(`a reply of ${line.length} characters`);
    const reply = readReply(line);
    this.#count(reply);
    const key = keyOf(reply.ref);
    const list = this.#owed.get(key);
    if (!list) throw new Fault(`nothing was asked that this answers: ${excerpt(line)}`);
    for (let i = 0; i < list.length; i++) {
      const expected = list[i]!;
      const verdict = expected.take(reply);
      if (verdict === "other") continue;
      if (expected.toCancel) this.#toCancel.push(reply.task_id!);
      if (verdict === "done") {
        list.splice(i, 1);
        if (list.length === 0) this.#owed.delete(key);
        this.#owing--;
      }
      return;
    }
    throw new Fault(
      `a wrong answer: ${excerpt(line)}; owed with this ref: ${list.slice(0, 3).join("; ")}`,
    );
  }

  #count(reply: Reply): void {
    const what = reply.error?.code ?? reply.status ?? "answer";
    this.#tally.set(what, (this.#tally.get(what) ?? 0) + 1);
  }

  #describe(): string {
    return [...this.#owed.values()].flat().slice(0, 3).join("; ");
  }
}

const CODES: ReadonlySet<string> = new Set([...REFUSAL_CODES, ...FAILURE_CODES]);

/** The object in `line`. Throws a `Fault` for what no reply may be. */
function readReply(line: string): Reply {
  let reply: Reply;
  try {
    reply = JSON.parse(line);
  } catch (error) {
    throw new Fault(`a reply that is not JSON: ${excerpt(line)}`, { cause: error });
  }
  if (typeof reply !== "object" || reply === null || Array.isArray(reply)) {
    throw new Fault(`a reply that is no object: ${excerpt(line)}`);
  }
  const { error } = reply;
  if (error !== undefined) {
    if (!CODES.has(error.code)) throw new Fault(`a code that is not listed: ${excerpt(line)}`);
    if (error.code === "internal") throw new Fault(`an error of its own: ${excerpt(line)}`);
    if (
      typeof error.message !== "string" || error.message === "" || /\n\s+at /.test(error.message)
    ) {
      throw new Fault(`an error without a message for people: ${excerpt(line)}`);
    }
  }
  return reply;
}

function keyOf(ref: unknown): string {
  return ref === undefined ? "" : `${typeof ref} ${String(ref)}`;
}

export function excerpt(text: string): string {
  return text.length <= 400 ? text : `${text.slice(0, 300)} … ${text.slice(-100)}`;
}
