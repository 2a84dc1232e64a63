/**
 * The way of a client's submits, from its messages to its replies. It knows no socket: a door gives it the messages of
 * one read, and a `SubmitClient` takes the replies as texts.
 *
 * The submits of one read form a batch: they enter the engine together, and their acknowledgements leave together.
 * Submits that may be refused for their op form a second batch, which enters when they are checked. The wait for a task is
 * registered before the task is enqueued, so no end is missed. The client never gets the end before the acknowledgement.
 */

import { SdError } from "../../protocol/errors.ts";
import type { JsonObject, Ref } from "../../protocol/message.ts";
import { type Role, SUBMITS } from "../../protocol/operations.ts";
import type { Status } from "../../protocol/task.ts";
import type { Clock } from "../clock.ts";
import type { Engine, Enqueued } from "../engine/engine.ts";
import { RETRY_AFTER_MS } from "../limits.ts";
import { isCronMessage } from "../task/cron_task.ts";
import type { FinishedTask, TaskEvents, Wait, Waiter } from "../task/task_events.ts";
import { type NewTask, newTask } from "../task/new_task.ts";
import type { Serials } from "../task/task_id.ts";
import { checkRole } from "./auth.ts";
import type { SubmitCheck } from "./submit_check.ts";
import type { TaskEntry } from "./task_entry.ts";

/** How a door writes the replies to submits; each text is complete, and several may be joined. */
export interface SubmitReplies {
  /** The acknowledgement of a task that is not final. */
  ack(id: string, status: Status, ref: Ref | undefined): string;
  /** The acknowledgement of a task that was final before. */
  endedAck(task: FinishedTask, ref: Ref | undefined): string;
  /** The end of a task. */
  end(task: FinishedTask, ref: Ref | undefined): string;
  refusal(error: SdError, ref: Ref | undefined): string;
}

/** The client that submits, as its door knows it. */
export interface SubmitClient {
  /** It has left, and gets no more replies. */
  readonly closed: boolean;
  readonly role: Role;
  send(text: string): void;
  /** Sends a reply that can wait a moment for more replies: a single acknowledgement. */
  sendCalm(text: string): void;
  /** Replies with an error, and logs one that is a bug. */
  refuse(error: unknown, ref: Ref | undefined): void;
  /** All replies to submits are sent. */
  settled(): void;
}

/** The parts of the server that submits go through. */
export interface SubmitRoute {
  readonly engine: Pick<Engine, "serials">;
  readonly check: SubmitCheck;
  readonly entry: TaskEntry;
  readonly events: TaskEvents;
  readonly clock: Clock;
}

interface SubmitFlowOptions {
  readonly route: SubmitRoute;
  readonly client: SubmitClient;
  readonly replies: SubmitReplies;
  /** Most submitted tasks of this client that are not final. */
  readonly maxInFlight: number;
}

/** Most characters of uncommitted submits; above it no more are read from this client. */
const MAX_UNCOMMITTED_CHARS = 1024 * 1024;

export class SubmitFlow {
  readonly #options: SubmitFlowOptions;
  readonly #route: SubmitRoute;
  /** Submits of the present read that can enter the engine at once. */
  #batch: Batch;
  /** Submits of the present read that must be checked first. */
  #doubtful: Batch;
  /** Pending while submits of this client are checked before they enter the engine. */
  #checked: Promise<void> | undefined;
  /** Replies still to come: acknowledgements, and ends that the client waits for. */
  #owed = 0;
  /** Characters of submits that are not committed yet. */
  #uncommittedChars = 0;
  #onCommit: (() => void) | undefined;
  /** The time of the read whose messages are taken. */
  readonly #creation: { now: number; aheadMs: number; readonly serials: Serials };

  constructor(options: SubmitFlowOptions) {
    this.#options = options;
    this.#route = options.route;
    this.#creation = { now: 0, aheadMs: 0, serials: options.route.engine.serials };
    this.#batch = new Batch(options, this);
    this.#doubtful = new Batch(options, this);
  }

  /** Replies to submits that are still to come. */
  get owed(): number {
    return this.#owed;
  }

  /** Pending until it is known which ops there are; await it before the first `take` of a read. */
  get ready(): Promise<void> | undefined {
    return this.#route.check.ready;
  }

  /** Pending while the engine does not have all tasks that were handed over; `undefined` when it does. */
  get checked(): Promise<void> | undefined {
    return this.#checked;
  }

  /** A read begins: its tasks are created now. */
  begin(): void {
    const { clock } = this.#route;
    this.#creation.now = clock.now();
    this.#creation.aheadMs = clock.aheadMs;
  }

  /** Takes the task that a message without `cmd` asks for; false for a recurring task. Throws the refusal. */
  take(message: JsonObject, line: string, ref: Ref | undefined): boolean {
    if (isCronMessage(message)) return false;
    const { check, entry } = this.#route;
    const { client, maxInFlight } = this.#options;
    checkRole(client.role, SUBMITS.submit);
    const known = check.knownOp(message.op);
    const task = newTask(message, line, this.#creation, known?.defaults);
    entry.checkOpen();
    const isDoubtful = check.isDoubtful(task, known);
    if (this.#owed + this.#batch.size + this.#doubtful.size >= maxInFlight) {
      throw tooManyInFlight(maxInFlight, "tasks are in flight");
    }
    // A task that comes after another must find it in the engine.
    const waits = task.after.length > 0 && (this.#checked || this.#doubtful.size > 0);
    (isDoubtful || waits ? this.#doubtful : this.#batch).add(task, ref);
    return true;
  }

  /** Hands the tasks that were taken to the engine. */
  flush(): void {
    if (this.#batch.size > 0) {
      this.#enter(this.#batch, this.#batch.chars);
      this.#batch = new Batch(this.#options, this);
    }
    if (this.#doubtful.size > 0) {
      const checked: Promise<void> = this.#check(this.#doubtful, this.#checked).then(() => {
        if (this.#checked === checked) this.#checked = undefined;
      });
      this.#checked = checked;
      this.#doubtful = new Batch(this.#options, this);
    }
  }

  /** Resolves when more can be read. A client that sends faster than the engine commits waits here. */
  async room(): Promise<void> {
    while (this.#uncommittedChars > MAX_UNCOMMITTED_CHARS && !this.#options.client.closed) {
      await new Promise<void>((resolve) => this.#onCommit = resolve);
    }
  }

  /** The client has left. */
  cut(): void {
    this.#onCommit?.();
    this.#route.events.forget(this.#owed);
  }

  /** Counts `replies` that are owed to the client from now on, or no longer if it is negative. */
  owe(replies: number): void {
    this.#owed += replies;
    if (this.#owed === 0) this.#options.client.settled();
  }

  /** Hands a batch of `chars` characters to the engine; they count until they are committed. */
  #enter(batch: Batch, chars: number): void {
    this.#uncommittedChars += chars;
    void batch.submit().then(() => this.#committed(chars));
  }

  #committed(chars: number): void {
    this.#uncommittedChars -= chars;
    this.#onCommit?.();
  }

  /** Resolves when the engine has the tasks of the batch that are not refused. */
  async #check(batch: Batch, before: Promise<void> | undefined): Promise<void> {
    const { check, entry } = this.#route;
    const { size, chars } = batch;
    this.owe(size);
    this.#uncommittedChars += chars;
    try {
      const refusals = await check.refusals(batch.tasks);
      await before;
      entry.checkOpen();
      batch.refuse(refusals);
    } catch (error) {
      await before;
      batch.refuse(batch.tasks.map(() => error));
    }
    this.#enter(batch, batch.chars);
    this.#committed(chars);
    this.owe(-size);
  }
}

/** The refusal of a request above the limit of unanswered requests. */
export function tooManyInFlight(max: number, what: string): SdError {
  return new SdError(
    "queue_full",
    `${max} ${what} on this connection, the limit of one (--max-in-flight); wait for some to end`,
    { retryAfterMs: RETRY_AFTER_MS },
  );
}

/** The end of a task that came before its acknowledgement. */
interface EarlyEnd {
  readonly id: string;
  readonly ref: Ref | undefined;
  readonly text: string;
}

/** Submits that enter the engine together. */
class Batch implements Waiter {
  readonly #route: SubmitRoute;
  readonly #client: SubmitClient;
  readonly #replies: SubmitReplies;
  readonly #flow: { owe(replies: number): void };
  #tasks: NewTask[] = [];
  #refs: (Ref | undefined)[] = [];
  /** By the index of the task, for tasks whose end the client waits for. */
  readonly #waits: Wait[] = [];
  #early: EarlyEnd[] = [];
  #acknowledged = false;
  #chars = 0;

  constructor({ route, client, replies }: SubmitFlowOptions, flow: { owe(replies: number): void }) {
    this.#route = route;
    this.#client = client;
    this.#replies = replies;
    this.#flow = flow;
  }

  get closed(): boolean {
    return this.#client.closed;
  }

  get tasks(): readonly NewTask[] {
    return this.#tasks;
  }

  get size(): number {
    return this.#tasks.length;
  }

  /** Characters of the submitted lines. */
  get chars(): number {
    return this.#chars;
  }

  add(task: NewTask, ref: Ref | undefined): void {
    this.#chars += task.payload.length;
    this.#tasks.push(task);
    this.#refs.push(ref);
  }

  /** Refuses the tasks that have a reason at their index, before any task is handed over. */
  refuse(reasons: readonly unknown[]): void {
    const tasks = this.#tasks;
    const refs = this.#refs;
    this.#tasks = [];
    this.#refs = [];
    this.#chars = 0;
    tasks.forEach((task, i) => {
      if (reasons[i] === undefined) this.add(task, refs[i]);
      else this.#client.refuse(reasons[i], refs[i]);
    });
  }

  /** Hands the tasks to the engine. Never throws: every task gets a reply. */
  async submit(): Promise<void> {
    if (this.#tasks.length === 0) return;
    this.#flow.owe(this.#tasks.length);
    const { events, entry } = this.#route;
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i]!;
      if (task.wait && !this.#client.closed) {
        this.#waits[i] = events.waitForNew(task, this, this.#refs[i]);
      }
    }
    try {
      this.#acknowledge(await entry.submit(this.#tasks));
    } catch (error) {
      this.#tasks.forEach((task, i) => {
        const wait = this.#waits[i];
        if (wait) events.unwaitForNew(task, wait);
        this.#client.refuse(error, this.#refs[i]);
      });
      this.#flow.owe(-this.#tasks.length);
    }
  }

  deliver(task: FinishedTask, ref: Ref | undefined): void {
    const text = this.#replies.end(task, ref);
    if (!this.#acknowledged) {
      this.#early.push({ id: task.id, ref, text });
      return;
    }
    this.#client.send(text);
    this.#flow.owe(-1);
  }

  #acknowledge(enqueued: readonly Enqueued[]): void {
    const replies = this.#replies;
    let text = "";
    let settled = 0;
    let isDelayed = false;
    const withheld = new Withheld();
    for (let i = 0; i < enqueued.length; i++) {
      const kept = enqueued[i]!;
      const task = this.#tasks[i]!;
      const ref = this.#refs[i];
      const isRefused = kept.outcome !== "created" && kept.outcome !== "exists";
      if (isRefused) text += replies.refusal(refusalOfTask(kept, task, this.#route.entry), ref);
      else if (kept.finished) text += replies.endedAck(kept.finished, ref);
      else text += replies.ack(task.id, kept.status, ref);
      if (kept.status === "delayed") isDelayed = true;
      if (!task.wait) {
        settled++;
      } else if (kept.finished || isRefused) {
        // It was final before or by this submit, or is refused: its end comes with the acknowledgement, or never.
        // If its wait is over already, a retry ran it in between: that end is not the reply to this submit.
        const wait = this.#waits[i];
        if (!wait || !this.#route.events.unwaitForNew(task, wait)) withheld.add(task.id, ref);
        if (kept.finished) text += replies.end(kept.finished, ref);
        settled++;
      }
    }
    this.#acknowledged = true;
    const early = withheld.size === 0 ? this.#early : withheld.without(this.#early);
    this.#early = [];
    if (early.length === 0 && settled === 0 && !isDelayed) this.#client.sendCalm(text);
    else this.#client.send(text + early.map((end) => end.text).join(""));
    this.#flow.owe(-settled - early.length);
  }
}

/** The refusal of a task that the engine has not kept. */
export function refusalOfTask(
  kept: Enqueued,
  task: NewTask,
  entry: Pick<TaskEntry, "queueFull">,
): SdError {
  if (kept.error) return kept.error;
  if (kept.outcome === "full") return entry.queueFull();
  return kept.outcome === "no_parent" ? noParent(kept.missing) : conflictOf(task.id);
}

/** Early ends that are not sent: at most one for each submit. */
class Withheld {
  readonly #counts = new Map<string, number>();

  get size(): number {
    return this.#counts.size;
  }

  add(id: string, ref: Ref | undefined): void {
    const key = keyOf(id, ref);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  without(ends: readonly EarlyEnd[]): EarlyEnd[] {
    return ends.filter(({ id, ref }) => {
      const key = keyOf(id, ref);
      const count = this.#counts.get(key) ?? 0;
      if (count > 0) this.#counts.set(key, count - 1);
      return count === 0;
    });
  }
}

function keyOf(id: string, ref: Ref | undefined): string {
  return `${id} ${JSON.stringify(ref)}`;
}

function noParent(id: string | undefined): SdError {
  return new SdError("not_found", `task.after names "${id}", and there is no such task`);
}

function conflictOf(id: string): SdError {
  return new SdError(
    "conflict",
    `there is another task with the id "${id}": its op or its arguments differ`,
  );
}
