/**
 * One connection of the bench, which keeps its slots full of tasks. It shares the cores with the server that it measures,
 * so a task must cost nearly nothing: one write and one read serve all tasks that have gathered.
 */

import { ClientError } from "../../../net/client_error.ts";
import { dial, type Wire } from "../../../net/dial.ts";
import { formatTarget, type Target } from "../../../net/target.ts";
import { SdError } from "../../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";
import type { JsonObject } from "../../../protocol/message.ts";
import type { BenchOp } from "./bench_op.ts";
import { BenchSlots, type BenchSlotsOptions } from "./bench_slots.ts";
import {
  ACKNOWLEDGED,
  INCOMPLETE,
  NUMBER,
  ReplyScanner,
  RequestBuffer,
  RIGHT,
} from "./bench_wire.ts";
import { cannotReach, connectionLost, refusalOf } from "../../connection/connection_errors.ts";

const FIRST_READ_BYTES = 64 * 1024;

interface BenchConnectionOptions extends BenchSlotsOptions {
  target: Target;
  op: BenchOp;
}

export class BenchConnection {
  readonly #conn: Wire;
  readonly #target: string;
  readonly #op: BenchOp;
  readonly #slots: BenchSlots;
  readonly #requests: RequestBuffer;
  readonly #scanner: ReplyScanner;
  readonly #decoder = new TextDecoder();
  #in = new Uint8Array(FIRST_READ_BYTES);
  #closed: Error | undefined;

  private constructor(conn: Wire, options: BenchConnectionOptions) {
    this.#conn = conn;
    this.#target = formatTarget(options.target);
    this.#op = options.op;
    this.#slots = new BenchSlots(options);
    this.#requests = new RequestBuffer(options.op, options.depth);
    this.#scanner = new ReplyScanner(options.op);
  }

  static async open(options: BenchConnectionOptions): Promise<BenchConnection> {
    try {
      const conn = await dial(options.target);
      if (options.target.token !== undefined) await greet(conn, options.target.token);
      return new BenchConnection(conn, options);
    } catch (error) {
      if (error instanceof SdError) throw error;
      throw cannotReach(formatTarget(options.target), error);
    }
  }

  /** Submits tasks; resolves once all are submitted and have ended. */
  async run(): Promise<void> {
    try {
      const now = performance.now();
      for (let slot = 0; slot < this.#slots.size; slot++) this.#submit(slot, now);
      await this.#flush();
      let kept = 0;
      while (this.#slots.inFlight > 0) {
        if (kept === this.#in.length) this.#grow();
        const count = await this.#conn.read(this.#in.subarray(kept));
        if (count === null) throw new Error("the server closed it");
        kept = this.#takeLines(kept + count);
        if (!this.#requests.isEmpty) await this.#flush();
      }
    } catch (error) {
      if (this.#closed) throw this.#closed;
      if (error instanceof ClientError) throw error;
      throw connectionLost(this.#target, error);
    }
  }

  /** Closes the connection; a pending `run` throws `reason`. Can be called twice. */
  close(reason: Error = new ClientError("unreachable", "the bench was ended")): void {
    if (this.#closed) return;
    this.#closed = reason;
    this.#conn.close();
  }

  async #flush(): Promise<void> {
    let bytes = this.#requests.take();
    while (bytes.length > 0) bytes = bytes.subarray(await this.#conn.write(bytes));
  }

  #submit(slot: number, now: number): void {
    const ref = this.#slots.submit(slot, now);
    if (ref >= 0) this.#requests.add(ref);
  }

  /** Handles the complete lines in the first `end` bytes. Moves the rest to the front and returns its length. */
  #takeLines(end: number): number {
    const now = performance.now();
    const bytes = this.#in;
    const scanner = this.#scanner;
    let at = 0;
    for (; at < end; at = scanner.next) {
      const shape = scanner.scan(bytes, at, end);
      if (shape === INCOMPLETE) break;
      if (shape === ACKNOWLEDGED) {
        this.#slots.acknowledge(scanner.ref);
      } else if (shape === NUMBER) {
        this.#finish(scanner.ref, scanner.result === this.#answerTo(scanner.ref), now);
      } else if (shape === RIGHT) {
        this.#finish(scanner.ref, true, now);
      } else {
        this.#takeOther(this.#decoder.decode(bytes.subarray(at, scanner.next)), now);
      }
    }
    if (at > 0 && at < end) bytes.copyWithin(0, at, end);
    return end - at;
  }

  #finish(ref: number, right: boolean, now: number): void {
    const slot = this.#slots.finish(ref, right, now);
    if (slot >= 0) this.#submit(slot, now);
  }

  /** Handles a line of a rare form: a failure, a refusal, a result that is not a plain number. */
  #takeOther(line: string, now: number): void {
    const reply = this.#parse(line);
    const error = reply.error as { code: string; message: string } | undefined;
    // An error without a task is the reason for a close by the server.
    if (typeof reply.ref !== "number") {
      throw new Error(error?.message ?? `unexpected line ${line.trim()}`);
    }
    const { ref, status } = reply;
    if (status === "completed") {
      this.#finish(ref, this.#isRight(ref, reply.result), now);
    } else if (error || status === "cancelled" || status === "expired") {
      const slot = this.#slots.giveUp(ref, error ? error.code : String(status));
      if (slot >= 0) this.#submit(slot, now);
    } else {
      this.#slots.acknowledge(ref);
    }
  }

  #parse(line: string): JsonObject {
    try {
      return JSON.parse(line) as JsonObject;
    } catch (error) {
      const message = `the program at ${this.#target} is not an sd server`;
      throw new ClientError("unreachable", message, { cause: error });
    }
  }

  #answerTo(ref: number): number {
    return this.#op.answerOf(this.#op.numberOf(ref));
  }

  #isRight(ref: number, result: unknown): boolean {
    const { answer } = this.#op;
    if (!answer) return result === this.#answerTo(ref);
    return JSON.stringify(result) === this.#decoder.decode(answer);
  }

  #grow(): void {
    if (this.#in.length > 2 * MAX_LINE_BYTES) {
      throw new Error("a line is longer than the limit of the protocol");
    }
    const larger = new Uint8Array(2 * this.#in.length);
    larger.set(this.#in);
    this.#in = larger;
  }
}

/** Sends `hello` with the token as the first message. Throws the error of a refusal. */
async function greet(conn: Wire, token: string): Promise<void> {
  await conn.write(new TextEncoder().encode(JSON.stringify({ cmd: "hello", token }) + "\n"));
  // The reply is one short line, in one piece.
  const buffer = new Uint8Array(FIRST_READ_BYTES);
  const count = await conn.read(buffer);
  if (count === null) throw new Error("the server closed it");
  const reply = JSON.parse(new TextDecoder().decode(buffer.subarray(0, count))) as JsonObject;
  if (reply.error === undefined) return;
  conn.close();
  throw refusalOf(reply);
}
