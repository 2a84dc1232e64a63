/**
 * The submits of one read of a client's connection: they enter the engine together, and their first
 * replies leave together. The batch waits for its tasks from before they are enqueued, so that no end
 * can be missed, and holds back the news of an end that came before the acknowledgement.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Ref } from "../../../protocol/message.ts";
import type { TaskApi } from "../../api/task_api.ts";
import type { Enqueued } from "../../engine/engine.ts";
import type { FinishedTask } from "../../task/finished_task.ts";
import type { NewTask } from "../../task/new_task.ts";
import type { Wait, Waiter } from "../../task/wait_table.ts";
import { ackLine, endedAckLine, errorLine, finalLine } from "../socket/replies.ts";

/** What a batch needs of the session it belongs to. */
export interface BatchOwner {
  readonly api: TaskApi;
  readonly closed: boolean;
  reply(text: string): void;
  /** A reply that is of little use before more comes. */
  replyCalm(text: string): void;
  refuse(error: unknown, ref: Ref | undefined): void;
  /** So many replies more are owed to the client, or fewer. */
  owe(replies: number): void;
}

/** The final line of a task, held back. */
interface EarlyNews {
  readonly id: string;
  readonly ref: Ref | undefined;
  readonly line: string;
}

export class SubmitBatch implements Waiter {
  readonly #owner: BatchOwner;
  #tasks: NewTask[] = [];
  #refs: (Ref | undefined)[] = [];
  /** By the places of their tasks; of those whose client waits. */
  readonly #waits: Wait[] = [];
  /** Final lines of tasks that ended before they were acknowledged. */
  #early: EarlyNews[] = [];
  #acknowledged = false;
  #chars = 0;

  constructor(owner: BatchOwner) {
    this.#owner = owner;
  }

  get closed(): boolean {
    return this.#owner.closed;
  }

  get tasks(): readonly NewTask[] {
    return this.#tasks;
  }

  get size(): number {
    return this.#tasks.length;
  }

  /** Of what the tasks were submitted with. */
  get chars(): number {
    return this.#chars;
  }

  add(task: NewTask, ref: Ref | undefined): void {
    this.#chars += task.payload.length;
    this.#tasks.push(task);
    this.#refs.push(ref);
  }

  /** Refuses the tasks for which there is a reason, by their places, before any is handed over. */
  refuse(reasons: readonly unknown[]): void {
    const tasks = this.#tasks;
    const refs = this.#refs;
    this.#tasks = [];
    this.#refs = [];
    this.#chars = 0;
    tasks.forEach((task, i) => {
      if (reasons[i] === undefined) this.add(task, refs[i]);
      else this.#owner.refuse(reasons[i], refs[i]);
    });
  }

  /** Hands the tasks to the engine; never throws, every task is answered. */
  async submit(): Promise<void> {
    const owner = this.#owner;
    if (this.#tasks.length === 0) return;
    owner.owe(this.#tasks.length);
    const { events } = owner.api;
    for (let i = 0; i < this.#tasks.length; i++) {
      const task = this.#tasks[i]!;
      if (task.wait && !owner.closed) {
        this.#waits[i] = events.waitForNew(task, this, this.#refs[i]);
      }
    }
    try {
      this.#acknowledge(await owner.api.submit(this.#tasks));
    } catch (error) {
      this.#tasks.forEach((task, i) => {
        const wait = this.#waits[i];
        if (wait) events.unwaitForNew(task, wait);
        owner.refuse(error, this.#refs[i]);
      });
      owner.owe(-this.#tasks.length);
    }
  }

  deliver(task: FinishedTask, ref: Ref | undefined): void {
    const line = finalLine(task, ref);
    if (!this.#acknowledged) {
      this.#early.push({ id: task.id, ref, line });
      return;
    }
    this.#owner.reply(line);
    this.#owner.owe(-1);
  }

  #acknowledge(enqueued: readonly Enqueued[]): void {
    let text = "";
    let settled = 0;
    let isDelayed = false;
    const withheld = new Withheld();
    for (let i = 0; i < enqueued.length; i++) {
      const kept = enqueued[i]!;
      const task = this.#tasks[i]!;
      const ref = this.#refs[i];
      const isRefused = kept.outcome !== "created" && kept.outcome !== "exists";
      if (isRefused) text += errorLine(this.#refusal(kept, task), ref);
      else if (kept.finished) text += endedAckLine(kept.finished, ref);
      else text += ackLine(task.id, kept.status, ref);
      if (kept.status === "delayed") isDelayed = true;
      if (!task.wait) {
        settled++;
      } else if (kept.finished || isRefused) {
        // It ended before or with this submit, is another task or none: no news will come for it.
        // Unless it did in between, by a retry: then its news are not those of this submit.
        const wait = this.#waits[i];
        if (!wait || !this.#owner.api.events.unwaitForNew(task, wait)) withheld.add(task.id, ref);
        if (kept.finished) text += finalLine(kept.finished, ref);
        settled++;
      }
    }
    this.#acknowledged = true;
    const early = withheld.size === 0 ? this.#early : withheld.without(this.#early);
    this.#early = [];
    if (early.length === 0 && settled === 0 && !isDelayed) this.#owner.replyCalm(text);
    else this.#owner.reply(text + early.map(({ line }) => line).join(""));
    this.#owner.owe(-settled - early.length);
  }

  #refusal(kept: Enqueued, task: NewTask): SdError {
    if (kept.error) return kept.error;
    if (kept.outcome === "full") return this.#owner.api.queueFull();
    return kept.outcome === "no_parent" ? noParent(kept.missing) : conflictOf(task.id);
  }
}

/** Ends that came early and are not sent: of each submit one at most. */
class Withheld {
  readonly #counts = new Map<string, number>();

  get size(): number {
    return this.#counts.size;
  }

  add(id: string, ref: Ref | undefined): void {
    const key = keyOf(id, ref);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
  }

  without(news: readonly EarlyNews[]): EarlyNews[] {
    return news.filter(({ id, ref }) => {
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
