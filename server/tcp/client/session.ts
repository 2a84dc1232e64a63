/**
 * One client's connection: lines to tasks and commands, and everything it waits for back to it. A command
 * is only begun once the engine has the submits before it.
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
import type { Line } from "../../../protocol/ndjson.ts";
import type { CronApi } from "../../api/cron_api.ts";
import type { Caller } from "../../api/auth.ts";
import type { TaskApi } from "../../api/task_api.ts";
import { Breath } from "../../breath.ts";
import { RETRY_AFTER_MS } from "../../limits.ts";
import type { Log } from "../../log.ts";
import { isCronMessage } from "../../task/cron_task.ts";
import { newTask } from "../../task/new_task.ts";
import { isScan } from "../../api/operations.ts";
import { answerCommand } from "./commands.ts";
import { Desk } from "./command_context.ts";
import type { LineHandler } from "../socket/line_handler.ts";
import type { Outbox } from "../socket/outbox.ts";
import { errorLine, objectLine } from "../socket/replies.ts";
import type { BatchOwner } from "./submit_batch.ts";
import { SubmitLane } from "./submit_lane.ts";

export interface SessionOptions {
  readonly api: TaskApi;
  readonly crons: CronApi;
  readonly outbox: Outbox;
  readonly log: Log;
  readonly version: string;
  readonly maxInFlight: number;
  /** Ends the connection once all that was pushed is written. */
  readonly dismiss: () => void;
  /** Of a further `hello`. Throws `unauthorized` for a token that is not of this server. */
  readonly judge: (token: unknown) => Promise<void>;
  /** The client pings so often, and is gone when it does not. */
  readonly expectPings: (everyMs: number) => void;
}

export class Session implements LineHandler, BatchOwner, Caller {
  readonly api: TaskApi;
  /** Every client that is let in may do everything. */
  readonly role = "admin";
  readonly #options: SessionOptions;
  #closed = false;
  /** Made with the first command: most connections only submit. */
  #leaving: AbortController | undefined;
  #sawObject = false;
  /** Replies still to come: acknowledgements with their final lines, and answers to commands. */
  #owed = 0;
  /** Of those, answers to commands. */
  #commands = 0;
  #onSettled: (() => void) | undefined;
  /** The last of the commands that read much: each begins when the one before it is answered. */
  #scans: Promise<void> | undefined;
  readonly #submits = new SubmitLane(this);
  readonly #breath = new Breath();
  /** Made with the first command: most connections only submit. */
  #desk: Desk | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.api = options.api;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get signal(): AbortSignal {
    this.#leaving ??= new AbortController();
    if (this.#closed) this.#leaving.abort();
    return this.#leaving.signal;
  }

  async handle(lines: readonly Line[], spoiled: readonly string[] = []): Promise<void> {
    const texts = spoiled.values();
    if (this.api.ready) await this.api.ready;
    const { check } = this.api;
    const submits = this.#submits;
    let { now, aheadMs } = this.api;
    this.#breath.begin();
    for (const line of lines) {
      if (line === "" || this.#closed) continue;
      const message = this.#parse(line, texts);
      if (!message) continue;
      let ref: Ref | undefined;
      try {
        ref = readRef(message);
        checkMessage(line as string, message);
        if (message.cmd === undefined && !isCronMessage(message)) {
          const known = check.knownOp(message.op);
          const task = newTask(message, line as string, now, known?.defaults, aheadMs);
          this.api.checkOpen();
          const isDoubtful = check.isDoubtful(task, known);
          if (this.#owed - this.#commands + submits.size >= this.#options.maxInFlight) {
            throw this.#tooMany("tasks are in flight");
          }
          submits.add(task, ref, isDoubtful);
        } else {
          submits.submit();
          if (submits.checked) {
            await submits.checked;
            ({ now, aheadMs } = this.api);
          }
          if (this.#commands >= this.#options.maxInFlight) {
            throw this.#tooMany("commands are not answered yet");
          }
          if (isScan(message)) this.#scan(message, line as string, ref);
          else void this.#command(message, line as string, ref);
          await this.#breath.take();
          await this.#options.outbox.room();
        }
      } catch (error) {
        this.refuse(error, ref);
      }
    }
    submits.submit();
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

  /** Ends the connection for this reason, and tells nothing after it. */
  dismiss(error: unknown, ref?: Ref): void {
    this.refuse(error, ref);
    this.#leave();
    this.#options.dismiss();
  }

  ended(): Promise<void> {
    return new Promise((resolve) => {
      this.#onSettled = resolve;
      this.owe(0);
    });
  }

  cut(): void {
    this.#leave();
    this.#submits.cut();
    this.#desk?.close();
    this.api.events.forget(this.#owed);
    this.#onSettled?.();
  }

  /** The server is about to go: what is still owed will not come any more. */
  abandon(): void {
    if (this.#owed === 0 || this.#closed) return;
    const error = new SdError(
      "shutting_down",
      `the server has stopped; ${this.#owed} replies were still to come on this connection`,
    );
    this.refuse(error, undefined);
  }

  reply(text: string): void {
    if (!this.#closed) this.#options.outbox.push(text);
  }

  replyCalm(text: string): void {
    if (!this.#closed) this.#options.outbox.pushCalm(text);
  }

  refuse(error: unknown, ref: Ref | undefined): void {
    if (!(error instanceof SdError)) this.#options.log.bug("server", error);
    this.reply(errorLine(error, ref));
  }

  owe(replies: number): void {
    this.#owed += replies;
    if (this.#owed === 0) this.#onSettled?.();
  }

  #leave(): void {
    this.#closed = true;
    this.#leaving?.abort();
  }

  /** The object in `line`. What is not one is refused; as a first line, it ends the connection. */
  #parse(line: Line, spoiled: Iterator<string, unknown>): JsonObject | undefined {
    try {
      const message = parseObject(line);
      this.#sawObject = true;
      return message;
    } catch (error) {
      // The body of an HTTP request may be valid lines: after its first line nothing is read.
      const ref = findRef(String(line ?? spoiled.next().value ?? ""));
      if (this.#sawObject) this.refuse(error, ref);
      else this.dismiss(error, ref);
      return undefined;
    }
  }

  /** A command after the ones before it, which counts as begun from now on. */
  #scan(message: JsonObject, line: string, ref: Ref | undefined): void {
    const before = this.#scans;
    const scan: Promise<void> = this.#command(message, line, ref, before).then(() => {
      if (this.#scans === scan) this.#scans = undefined;
    });
    this.#scans = scan;
  }

  /** What owes one reply: a command, or a recurring task. */
  async #command(
    message: JsonObject,
    line: string,
    ref: Ref | undefined,
    before?: Promise<void>,
  ): Promise<void> {
    const { crons, version, outbox, judge, expectPings } = this.#options;
    const desk = this.#desk ??= new Desk(this.api.events.watchers, outbox);
    this.owe(1);
    this.#commands++;
    try {
      if (before) await before;
      if (before && this.#closed) return;
      const context = {
        api: this.api,
        crons,
        caller: this,
        version,
        desk,
        ref,
        judge,
        expectPings,
      };
      const answer = message.cmd === undefined
        ? await crons.create(message, line)
        : await answerCommand(context, message);
      if (answer) this.reply(objectLine(answer, ref));
    } catch (error) {
      const isStranger = error instanceof SdError && error.code === "unauthorized";
      if (isStranger) this.dismiss(error, ref);
      else this.refuse(error, ref);
    } finally {
      this.#commands--;
      this.owe(-1);
    }
  }

  #tooMany(what: string): SdError {
    const { maxInFlight } = this.#options;
    return new SdError(
      "queue_full",
      `${maxInFlight} ${what} on this connection, the limit of one (--max-in-flight); ` +
        "wait for some to end",
      { retryAfterMs: RETRY_AFTER_MS },
    );
  }
}
