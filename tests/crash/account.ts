/**
 * What one client knows of one task: its requests, the replies, and whether the replies can be true. Only replies are
 * evidence: a request without a reply can have happened or not.
 */

import { type End, endText, faultOfRun } from "./ending.ts";
import type { Faults } from "./faults.ts";
import type { PlannedTask } from "./planned_task.ts";

/** A task fails by the deaths of its worker process at the third. */
const DEATHS = 3;

export class Account {
  /** The client's own, or what the acknowledgement said. */
  taskId: string | undefined;
  sent = false;
  acknowledged = false;
  /** The code of the last refusal. */
  refused: string | undefined;
  /** Asks that have no answer yet: while there are any, nothing that changes the answer is asked. */
  outstanding = 0;
  retryOutstanding = false;
  /** A retry was sent: what came after it may differ from what came before. */
  retried = false;
  /** The client asked for its cancellation since the last retry that was acknowledged. */
  cancelAsked = false;
  /** Its end, since the last retry. */
  end: End | undefined;
  /** How many kills there had been when it was first sent. */
  killsBefore = 0;

  constructor(readonly planned: PlannedTask, readonly client: number) {
    this.taskId = planned.options.id;
  }

  get canRetry(): boolean {
    return this.end !== undefined && this.end.status !== "completed" && this.outstanding === 0;
  }

  acknowledge(taskId: unknown, faults: Faults): void {
    if (typeof taskId !== "string" || (this.taskId ?? taskId) !== taskId) {
      faults.add("wrong client", `${this.name} was acknowledged as ${JSON.stringify(taskId)}`);
      return;
    }
    this.taskId = taskId;
    this.acknowledged = true;
  }

  /** The retry has surely happened: the task has no end now, and its next end needs new reasons. */
  acknowledgeRetry(): void {
    this.end = undefined;
    this.cancelAsked = false;
  }

  /** The retry may have happened. */
  forgetEnd(): void {
    this.end = undefined;
  }

  /** Somebody said that the task has come to this end. */
  observe(end: End, { faults, kills }: { faults: Faults; kills: number }): void {
    const fault = this.#faultOf(end, kills - this.killsBefore);
    if (fault) faults.add(end.status === "completed" ? "wrong result" : "wrong end", fault);
    if (this.end && endText(this.end) !== endText(end)) {
      const kind = this.end.status === "cancelled" ? "cancel undone" : "two ends";
      faults.add(kind, `${this.name}: first ${endText(this.end)}, then ${endText(end)}`);
    }
    this.end = end;
  }

  /** The server does not know the task. */
  missing(faults: Faults): void {
    if (!this.acknowledged && !this.end) return;
    faults.add("lost", `${this.name} was acknowledged, and is not there`);
  }

  get name(): string {
    const { serial, op, options } = this.planned;
    const text = JSON.stringify(options);
    return `task ${serial} (${this.taskId ?? "no id yet"}) of client ${this.client}, ${op} ${text}`;
  }

  #faultOf(end: End, kills: number): string | undefined {
    const { options, ending } = this.planned;
    const has = (reason: boolean) =>
      reason ? undefined : `${this.name} is ${endText(end)}, for no reason that its client gave`;
    if (end.status === "cancelled") {
      return has(this.cancelAsked || options.after !== undefined);
    }
    if (end.status === "expired") return has(options.expires !== undefined);
    if (end.error?.code === "worker_crashed" && kills >= DEATHS) return undefined;
    const fault = faultOfRun(ending, options.attempts ?? 1, end);
    return fault && `${this.name} ${fault}`;
  }
}
