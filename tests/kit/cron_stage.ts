/** A scheduler and an API of recurring tasks over a real engine, for tests that move the clock. */

import { SdError } from "../../protocol/errors.ts";
import type { JsonObject } from "../../protocol/message.ts";
import { CronApi } from "../../server/api/cron_api.ts";
import { Scheduler } from "../../server/dispatch/scheduler.ts";
import { CronBook } from "../../server/engine/cron_book.ts";
import type { Engine } from "../../server/engine/engine.ts";
import { openMemoryEngine } from "../../server/engine/memory/memory.ts";
import type { NewTask } from "../../server/task/new_task.ts";
import { HandClock } from "./hand_clock.ts";

export const START = "2026-11-24T00:30:00.250Z";

export interface CronStageOptions {
  engine?: Engine;
  clock?: HandClock;
  start?: boolean;
}

/** A scheduler with what it needs; `submitted` are the ids that the engine took as new, in order. */
export class CronStage {
  readonly engine: Engine;
  readonly clock: HandClock;
  readonly scheduler: Scheduler;
  readonly api: CronApi;
  readonly submitted: string[] = [];
  readonly tasks: NewTask[] = [];
  readonly log: string[] = [];
  /** Thrown at the next submits. */
  refusal: unknown;

  constructor(
    { engine = openMemoryEngine(), clock = new HandClock(START), start }: CronStageOptions = {},
  ) {
    this.engine = engine;
    this.clock = clock;
    const line = (_room: string, message: string) => void this.log.push(message);
    const log = {
      info: line,
      warn: line,
      error: line,
      bug: (_: string, error: unknown) => line("", `BUG ${error}`),
    };
    const book = new CronBook(engine.settings, (message) => line("", message));
    this.scheduler = new Scheduler({
      book,
      clock,
      log,
      serials: engine.serials,
      submit: async (tasks) => {
        if (this.refusal !== undefined) throw this.refusal;
        const enqueued = await engine.enqueue(tasks, clock.now());
        const isNew = (_: NewTask, i: number) => enqueued[i]?.outcome === "created";
        this.tasks.push(...tasks.filter(isNew));
        this.submitted.push(...tasks.filter(isNew).map(({ id }) => id));
        return enqueued;
      },
    });
    const entry = { checkOpen() {} };
    const check = {
      checkOp(op: string) {
        if (op === "nope") throw new SdError("unknown_op", "no worker has it");
      },
      checkArguments: () => Promise.resolve(),
    };
    const { scheduler } = this;
    const { serials } = engine;
    this.api = new CronApi({ book, entry, clock, serials, check, scheduler });
    if (start ?? true) this.scheduler.start();
  }

  create(task: JsonObject, message: JsonObject = { op: "echo", data: 1 }) {
    const whole = { ...message, task };
    return this.api.create(whole, JSON.stringify(whole));
  }

  /** As a server that is stopped, and another one on the same engine after `ms`. */
  async restart(ms: number): Promise<CronStage> {
    await this.scheduler.stop();
    await this.clock.pass(ms);
    const next = new CronStage({ engine: this.engine, clock: this.clock });
    await next.clock.pass(0);
    return next;
  }
}

/** The ids of the tasks of `id` at these times of the day on which every test begins. */
export function runIds(id: string, ...times: string[]): string[] {
  return times.map((time) => `${id}:2026-11-24T${time}Z`);
}
