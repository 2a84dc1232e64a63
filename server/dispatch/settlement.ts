/**
 * Takes what worker processes report of their tasks to the engine, and the news of those that are
 * final to whoever waits for them. Always in batches: what one read of a work link brought.
 */

import type { Clock } from "../clock.ts";
import type { Ack, Engine, Nack } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { FinishedTask } from "../task/finished_task.ts";
import type { TaskEvents } from "../task/task_events.ts";
import type { Dispatcher } from "./dispatcher.ts";

export interface SettlementOptions {
  readonly engine: Engine;
  readonly events: TaskEvents;
  readonly dispatcher: Pick<Dispatcher, "kick" | "stopTasks">;
  readonly clock: Clock;
  readonly log: Log;
  readonly leaseMs: number;
}

export class Settlement {
  readonly #options: SettlementOptions;

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  /** Results. One from a lost lease changes nothing. */
  async ack(acks: readonly Ack[]): Promise<void> {
    const { engine, clock } = this.#options;
    await this.#settle(() => engine.ack(acks, clock.now()));
  }

  /** Runs without a result. */
  async nack(nacks: readonly Nack[]): Promise<void> {
    const { engine, clock } = this.#options;
    await this.#settle(() => engine.nack(nacks, clock.now()));
  }

  /** A worker process still holds these; it is told which of them it has lost. */
  async renew(leases: readonly number[]): Promise<void> {
    const { engine, clock, leaseMs, dispatcher, log } = this.#options;
    try {
      const lost = await engine.renew(leases, leaseMs, clock.now());
      if (lost.length > 0) dispatcher.stopTasks(lost, "lost");
    } catch (error) {
      log.bug("dispatcher", error);
    }
  }

  async #settle(work: () => Promise<FinishedTask[]>): Promise<void> {
    const { events, dispatcher, log } = this.#options;
    try {
      events.emit(await work());
    } catch (error) {
      log.bug("dispatcher", error);
    }
    dispatcher.kick();
  }
}
