/**
 * A client's connection: it turns lines into submits and commands, and sends the replies. A command begins once the
 * engine has the submits before it. Commands that may read or write many tasks run one at a time.
 */

import { SdError } from "../../../protocol/errors.ts";
import { MAX_LINE_BYTES } from "../../../protocol/limits.ts";
import {
  checkMessage,
  findRef,
  type JsonObject,
  parseObject,
  readRef,
  type Ref,
} from "../../../protocol/message.ts";
import type { ServerHealth } from "../../../protocol/task.ts";
import type { Line } from "../../../protocol/ndjson.ts";
import type { Caller } from "../../api/auth.ts";
import { isScan, runSchedule, type UseCases } from "../../api/operations.ts";
import {
  type SubmitClient,
  SubmitFlow,
  type SubmitRoute,
  tooManyInFlight,
} from "../../api/submit_flow.ts";
import { Breath } from "../../breath.ts";
import type { Log } from "../../log.ts";
import { answerCommand, CommandState } from "./commands.ts";
import type { LineHandler } from "../socket/connection.ts";
import type { Outbox } from "../socket/outbox.ts";
import { errorLine, objectLine, SUBMIT_REPLIES } from "../socket/replies.ts";

interface SessionOptions {
  readonly cases: UseCases;
  readonly route: SubmitRoute;
  readonly outbox: Outbox;
  readonly log: Log;
  readonly version: string;
  /** The answer to `health`. */
  readonly health: () => ServerHealth;
  readonly maxInFlight: number;
  /** Ends the connection when all pushed text is written. */
  readonly dismiss: () => void;
  /** Judges the token of a further `hello`. Throws `unauthorized`. */
  readonly judge: (token: unknown) => Promise<void>;
  /** The client will ping this often; its connection is cut if pings do not come. */
  readonly expectPings: (everyMs: number) => void;
}

export class Session implements LineHandler, SubmitClient, Caller {
  /** Every client with a valid token can run every operation. */
  readonly role = "admin";
  readonly #options: SessionOptions;
  readonly #submits: SubmitFlow;
  readonly #breath = new Breath();
  #closed = false;
  #isDraining = false;
  /** Lines are read, and not all of them have been begun. */
  #isHandling = false;
  /** Made with the first command: most connections only submit. */
  #leaving: AbortController | undefined;
  #state: CommandState | undefined;
  #sawObject = false;
  /** Commands that are not answered yet. */
  #commands = 0;
  #onSettled: (() => void) | undefined;
  /** The last command that reads or writes many tasks. Each begins when the one before it is answered. */
  #scans: Promise<void> | undefined;

  constructor(options: SessionOptions) {
    const { route, maxInFlight } = options;
    this.#options = options;
    this.#submits = new SubmitFlow({ route, client: this, replies: SUBMIT_REPLIES, maxInFlight });
  }

  get closed(): boolean {
    return this.#closed;
  }

  get signal(): AbortSignal {
    this.#leaving ??= new AbortController();
    if (this.#closed) this.#leaving.abort();
    return this.#leaving.signal;
  }

  get buffered(): number {
    return this.#state?.buffered ?? 0;
  }

  async handle(lines: readonly Line[], spoiled: readonly string[] = []): Promise<void> {
    const texts = spoiled.values();
    const submits = this.#submits;
    if (submits.ready) await submits.ready;
    submits.begin();
    this.#breath.begin();
    this.#isHandling = true;
    for (const line of lines) {
      if (line === "" || this.#closed) continue;
      const message = this.#parse(line, texts);
      if (!message) continue;
      let ref: Ref | undefined;
      try {
        ref = readRef(message);
        checkMessage(line as string, message);
        if (message.cmd === undefined && submits.take(message, line as string, ref)) continue;
        await this.#begin(message, line as string, ref);
      } catch (error) {
        this.refuse(error, ref);
      }
    }
    submits.flush();
    this.#isHandling = false;
    this.#leaveIfDrained();
    await this.#options.outbox.room();
    await submits.room();
  }

  overflow(maxBytes: number): void {
    const when = maxBytes < MAX_LINE_BYTES ? " before hello" : "";
    const error = new SdError(
      "line_too_long",
      `a line${when} is at most ${maxBytes} bytes; the connection ends here`,
    );
    this.refuse(error, undefined);
    this.#options.dismiss();
  }

  /** Ends the connection for this reason; no reply follows it. */
  dismiss(error: unknown, ref?: Ref): void {
    this.refuse(error, ref);
    this.#leave();
    this.#options.dismiss();
  }

  ended(): Promise<void> {
    return new Promise((resolve) => {
      this.#onSettled = resolve;
      this.settled();
    });
  }

  cut(): void {
    this.#leave();
    this.#submits.cut();
    this.#state?.close();
    this.#options.route.events.forget(this.#commands);
    this.#onSettled?.();
  }

  /**
   * The server takes no more tasks: ends the connection once the client has all replies and watches nothing. Lines that
   * have no reply by then were not taken.
   */
  drain(): void {
    this.#isDraining = true;
    this.#leaveIfDrained();
  }

  /** The server is about to stop: replies that are still owed will never come. */
  abandon(): void {
    const owed = this.#submits.owed + this.#commands;
    if (owed === 0 || this.#closed) return;
    const error = new SdError(
      "shutting_down",
      `the server has stopped; ${owed} replies were still to come on this connection`,
    );
    this.refuse(error, undefined);
  }

  send(text: string): void {
    if (!this.#closed) this.#options.outbox.push(text);
  }

  sendCalm(text: string): void {
    if (!this.#closed) this.#options.outbox.pushCalm(text);
  }

  refuse(error: unknown, ref: Ref | undefined): void {
    if (!(error instanceof SdError)) this.#options.log.bug("server", error);
    this.send(errorLine(error, ref));
  }

  settled(): void {
    if (this.#submits.owed > 0 || this.#commands > 0) return;
    this.#onSettled?.();
    this.#leaveIfDrained();
  }

  #leaveIfDrained(): void {
    if (!this.#isDraining || this.#closed || this.#isHandling || this.#state?.isWatching) return;
    if (this.#submits.owed > 0 || this.#commands > 0) return;
    this.#leave();
    this.#options.dismiss();
  }

  #leave(): void {
    this.#closed = true;
    this.#leaving?.abort();
  }

  /** The object in `line`. Anything else is refused; as a first line, it ends the connection. */
  #parse(line: Line, spoiled: Iterator<string, unknown>): JsonObject | undefined {
    try {
      const message = parseObject(line);
      this.#sawObject = true;
      return message;
    } catch (error) {
      // The body of an HTTP request can be valid lines, so nothing after its first line is read.
      const ref = findRef(String(line ?? spoiled.next().value ?? ""));
      if (this.#sawObject) this.refuse(error, ref);
      else this.dismiss(error, ref);
      return undefined;
    }
  }

  /** Begins a command, or creates a recurring task, when the engine has the submits before it. */
  async #begin(message: JsonObject, line: string, ref: Ref | undefined): Promise<void> {
    const submits = this.#submits;
    submits.flush();
    if (submits.checked) {
      await submits.checked;
      submits.begin();
    }
    const { maxInFlight, outbox } = this.#options;
    if (this.#commands >= maxInFlight) {
      throw tooManyInFlight(maxInFlight, "commands are not answered yet");
    }
    if (isScan(message)) this.#scan(message, line, ref);
    else void this.#command(message, line, ref);
    await this.#breath.take();
    await outbox.room();
  }

  /** Runs a command after the scans before it; it counts as begun from now on. */
  #scan(message: JsonObject, line: string, ref: Ref | undefined): void {
    const before = this.#scans;
    const scan: Promise<void> = this.#command(message, line, ref, before).then(() => {
      if (this.#scans === scan) this.#scans = undefined;
    });
    this.#scans = scan;
  }

  async #command(
    message: JsonObject,
    line: string,
    ref: Ref | undefined,
    before?: Promise<void>,
  ): Promise<void> {
    const { cases, route, version, health, outbox, judge, expectPings } = this.#options;
    const state = this.#state ??= new CommandState(route.events.watchers, outbox);
    this.#commands++;
    try {
      if (before) await before;
      if (before && this.#closed) return;
      const answer = message.cmd === undefined
        ? await runSchedule(cases, { message, line, caller: this })
        : await answerCommand({
          cases,
          entry: route.entry,
          caller: this,
          version,
          health,
          state,
          ref,
          judge,
          expectPings,
        }, message);
      if (answer) this.send(objectLine(answer, ref));
    } catch (error) {
      // After a wrong token nothing more is read from the client.
      const isWrongToken = error instanceof SdError && error.code === "unauthorized" &&
        message.cmd === "hello";
      if (isWrongToken) this.dismiss(error, ref);
      else this.refuse(error, ref);
    } finally {
      this.#commands--;
      this.settled();
    }
  }
}
