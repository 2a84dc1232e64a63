/**
 * The submits of one connection on their way to the engine. Those of one read go together, at once; those that
 * may have to be refused for their op go together too, once that is known, in the order in which they came.
 */

import type { Ref } from "../../../protocol/message.ts";
import type { NewTask } from "../../task/new_task.ts";
import { type BatchOwner, SubmitBatch } from "./submit_batch.ts";

/** More of one connection is not read before the engine has made some of it safe. */
const MAX_UNSAFE_CHARS = 1024 * 1024;

export class SubmitLane {
  readonly #owner: BatchOwner;
  #batch: SubmitBatch;
  #doubtful: SubmitBatch;
  /** Pending while tasks of this connection are looked at before the engine has them. */
  #checked: Promise<void> | undefined;
  /** Characters of submitted tasks that the engine has not made safe yet. */
  #unsafeChars = 0;
  #onSafer: (() => void) | undefined;

  constructor(owner: BatchOwner) {
    this.#owner = owner;
    this.#batch = new SubmitBatch(owner);
    this.#doubtful = new SubmitBatch(owner);
  }

  /** Tasks that were added and not handed over yet. */
  get size(): number {
    return this.#batch.size + this.#doubtful.size;
  }

  /** Pending while the engine does not have all tasks that were handed over; `undefined` when it does. */
  get checked(): Promise<void> | undefined {
    return this.#checked;
  }

  add(task: NewTask, ref: Ref | undefined, isDoubtful: boolean): void {
    // One that comes after another must find it there.
    const waits = task.after.length > 0 && (this.#checked || this.#doubtful.size > 0);
    (isDoubtful || waits ? this.#doubtful : this.#batch).add(task, ref);
  }

  /** Hands over what was added. */
  submit(): void {
    if (this.#batch.size > 0) {
      this.#enter(this.#batch, this.#batch.chars);
      this.#batch = new SubmitBatch(this.#owner);
    }
    if (this.#doubtful.size > 0) {
      const checked: Promise<void> = this.#check(this.#doubtful, this.#checked).then(() => {
        if (this.#checked === checked) this.#checked = undefined;
      });
      this.#checked = checked;
      this.#doubtful = new SubmitBatch(this.#owner);
    }
  }

  /** Resolves when more may be read: one that sends faster than the engine can make it safe waits. */
  async room(): Promise<void> {
    while (this.#unsafeChars > MAX_UNSAFE_CHARS && !this.#owner.closed) {
      await new Promise<void>((resolve) => this.#onSafer = resolve);
    }
  }

  /** The connection is gone. */
  cut(): void {
    this.#onSafer?.();
  }

  /** Hands `chars` of a batch to the engine; they are counted until they are safe. */
  #enter(batch: SubmitBatch, chars: number): void {
    this.#unsafeChars += chars;
    void batch.submit().then(() => this.#safe(chars));
  }

  #safe(chars: number): void {
    this.#unsafeChars -= chars;
    this.#onSafer?.();
  }

  /** Resolves when the engine has what is not refused. */
  async #check(batch: SubmitBatch, before: Promise<void> | undefined): Promise<void> {
    const owner = this.#owner;
    const { size, chars } = batch;
    owner.owe(size);
    this.#unsafeChars += chars;
    try {
      const refusals = await owner.api.check.refusals(batch.tasks);
      await before;
      owner.api.checkOpen();
      batch.refuse(refusals);
    } catch (error) {
      await before;
      batch.refuse(batch.tasks.map(() => error));
    }
    this.#enter(batch, batch.chars);
    this.#safe(chars);
    owner.owe(-size);
  }
}
