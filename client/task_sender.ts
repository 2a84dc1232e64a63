/**
 * Sends many tasks through one client: up to a number in flight, none while the server is full, each reported
 * once by a call. `Client.submitMany` and `sd submit --file` are built on it. A slot stays taken until its user
 * gives it back, so that neither tasks nor their ends gather in memory.
 */

import { delay } from "@std/async/delay";
import { SdError } from "../protocol/errors.ts";
import { type Deferred, deferred } from "./connection/promises.ts";
import type { RawClient } from "./raw_client.ts";
import type { TaskEnd } from "./task/task_end.ts";
import { type Acknowledged, type SubmittedLine, TaskExchange } from "./task/task_exchange.ts";

/** Wait before a refused task is sent again if the server names no time, in ms. */
const RETRY_MS = 1000;
/** Refusals of a server that takes no tasks just now. */
const FULL: ReadonlySet<string> = new Set(["queue_full", "storage_full"]);

/** The outcome of one task. */
export type SendOutcome =
  | TaskEnd
  /** Taken, and its end was not asked for: the server's reply. */
  | { status: "submitted"; answer: object }
  /** `refused`: the server has no such task; `lost`: it took the task and no longer knows it. */
  | { status: "refused" | "lost"; error: SdError }
  /** No reply came: the connection is lost for good. The task may have been taken. */
  | { status: "unknown"; error: unknown }
  /** Stopped while it waited for a full server. */
  | { status: "unsent" };

interface SenderOptions<Item> {
  readonly raw: RawClient;
  /** Most slots taken at a time. */
  readonly maxInFlight: number;
  /** Called at the end of each task. Must not throw. */
  readonly ended: (item: Item, outcome: SendOutcome) => void;
  /** Called when the server has taken the task. */
  readonly taken?: ((item: Item) => void) | undefined;
  /** Called at the first refusal of each time that the server is full. */
  readonly onFull?: ((refusal: SdError) => void) | undefined;
}

export class TaskSender<Item> {
  readonly #options: SenderOptions<Item>;
  readonly #stopping = new AbortController();
  #slotsTaken = 0;
  /** Resolves at the next slot that is given back. */
  #freed: Deferred<void> | undefined;
  /** Resolves when no slot is taken. */
  #idle: Deferred<void> | undefined;
  /** While the server is full: resolves when to try again. */
  #pause: Promise<void> | undefined;
  /** A refusal was reported, and no task was taken since. */
  #isFull = false;

  constructor(options: SenderOptions<Item>) {
    this.#options = options;
  }

  /** Await it before `take`, again and again until it is `undefined`: then a task can be sent, or none any more. */
  get full(): Promise<void> | undefined {
    if (this.isStopped) return undefined;
    const { raw, maxInFlight } = this.#options;
    if (this.#pause) return this.#pause;
    if (raw.room) return raw.room;
    return this.#slotsTaken < maxInFlight ? undefined : (this.#freed ??= deferred()).promise;
  }

  get isStopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** Aborts when the sender is stopped. */
  get stopSignal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Takes a slot. Its task goes to `send` or `ask`, or needs neither. */
  take(): void {
    this.#slotsTaken++;
  }

  /** Gives a slot back. */
  release(): void {
    this.#slotsTaken--;
    this.#wake();
    if (this.#slotsTaken > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }

  /** Resolves once no slot is taken. */
  async idle(): Promise<void> {
    if (this.#slotsTaken > 0) await (this.#idle ??= deferred()).promise;
  }

  /** Nothing more can be sent; tasks in flight go on and are reported. */
  stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  /** Submits a line; if the server is full, again later. */
  send(item: Item, line: SubmittedLine): void {
    this.#options.raw.send(line.json, new SentTask(this, { item, line }));
  }

  /** Does something else for a task than to submit a line; if the server is full, again later. */
  ask(item: Item, work: () => Promise<SendOutcome>): void {
    work().then((outcome) => {
      this.#ease();
      this.#options.ended(item, outcome);
    }, (error) => {
      if (this.#delays(error)) void this.#later(item, () => this.ask(item, work));
      else this.#options.ended(item, outcomeOf(error, { isTaken: false }));
    });
  }

  /** A task of `send` was taken. */
  noteTaken({ item, line }: SentTask<Item>, answer: Acknowledged): void {
    this.#ease();
    this.#options.taken?.(item);
    if (line.wait) return;
    const { id, status } = answer;
    this.#options.ended(item, { status: "submitted", answer: { task_id: id, status } });
  }

  /** A task of `send` has ended. */
  noteEnd({ item }: SentTask<Item>, end: TaskEnd): void {
    this.#options.ended(item, end);
  }

  /** A task of `send` was refused, or no reply will come. */
  noteFailure(task: SentTask<Item>, error: Error): void {
    const { item, line, isTaken } = task;
    if (!isTaken && this.#delays(error)) void this.#later(item, () => this.send(item, line));
    else this.#options.ended(item, outcomeOf(error, { isTaken }));
  }

  /** Whether `error` says that the server is full: then tasks pause for a while. */
  #delays(error: unknown): boolean {
    if (!(error instanceof SdError)) return false;
    if (error.retryAfterMs === undefined && !FULL.has(error.code)) return false;
    if (!this.#isFull) this.#options.onFull?.(error);
    this.#isFull = true;
    this.#pause ??= this.#wait(error.retryAfterMs ?? RETRY_MS);
    return true;
  }

  async #wait(ms: number): Promise<void> {
    // The users of the pause see for themselves that the sender was stopped.
    await delay(ms, { signal: this.#stopping.signal }).catch(() => undefined);
    this.#pause = undefined;
  }

  async #later(item: Item, again: () => void): Promise<void> {
    await this.#pause;
    if (this.isStopped) this.#options.ended(item, { status: "unsent" });
    else again();
  }

  #ease(): void {
    if (!this.#pause) this.#isFull = false;
  }

  #wake(): void {
    this.#freed?.resolve();
    this.#freed = undefined;
  }
}

/** One line that was sent. */
class SentTask<Item> extends TaskExchange {
  readonly item: Item;
  readonly line: SubmittedLine;
  isTaken = false;
  readonly #sender: TaskSender<Item>;

  constructor(sender: TaskSender<Item>, { item, line }: { item: Item; line: SubmittedLine }) {
    super(line);
    this.item = item;
    this.line = line;
    this.#sender = sender;
  }

  protected override taken(answer: Acknowledged): void {
    this.isTaken = true;
    this.#sender.noteTaken(this, answer);
  }

  protected override ended(end: TaskEnd): void {
    this.#sender.noteEnd(this, end);
  }

  protected override failed(error: Error): void {
    this.#sender.noteFailure(this, error);
  }
}

function outcomeOf(error: unknown, { isTaken }: { isTaken: boolean }): SendOutcome {
  if (!(error instanceof SdError)) return { status: "unknown", error };
  return { status: isTaken ? "lost" : "refused", error };
}
