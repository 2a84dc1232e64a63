/** A server as intakes know it, on an engine in memory, with an op that no worker has until the test says so. */

import { SdError } from "../../../../protocol/errors.ts";
import type { BridgeParts } from "../../../../server/bridge/bridge.ts";
import type { Delivery } from "../../../../server/bridge/message.ts";
import { SubmitCheck } from "../../../../server/api/submit_check.ts";
import { TaskEntry } from "../../../../server/api/task_entry.ts";
import { systemClock } from "../../../../server/clock.ts";
import type { Engine } from "../../../../server/engine/engine.ts";
import { openMemoryEngine } from "../../../../server/engine/memory/memory.ts";
import { DEFAULT_LIMITS } from "../../../../server/limits.ts";
import { Metrics } from "../../../../server/metrics.ts";
import { DEFAULTS } from "../../../../server/task/new_task.ts";
import { TaskEvents } from "../../../../server/task/task_events.ts";

export class IntakeStage {
  readonly engine: Engine;
  readonly metrics = new Metrics();
  readonly events = new TaskEvents(this.metrics);
  readonly ops = new Set(["square"]);
  readonly entry: TaskEntry;
  readonly parts: BridgeParts;
  /** What was logged at warn or above. */
  readonly said: string[] = [];
  /** Numbers of tasks that entered the engine together. */
  readonly batches: number[] = [];

  constructor({ maxQueued = Infinity, wrap = (engine: Engine) => engine } = {}) {
    const clock = systemClock;
    const { events, metrics, ops } = this;
    const engine = wrap(openMemoryEngine({ maxQueued, ended: (tasks) => events.emit(tasks) }));
    this.engine = engine;
    const dispatch = { kick() {} };
    const limits = { ...DEFAULT_LIMITS, maxQueued };
    this.entry = new TaskEntry({ engine, events, dispatch, clock, metrics, limits });
    const submit = this.entry.submit.bind(this.entry);
    this.entry.submit = (tasks) => {
      this.batches.push(tasks.length);
      return submit(tasks);
    };
    const check = new SubmitCheck({
      engine,
      ops: {
        ready: undefined,
        get: (op) => ops.has(op as string) ? { defaults: DEFAULTS, hasSchema: false } : undefined,
        names: () => ops,
        list: () => [],
      },
      schemas: { check: (submits) => Promise.resolve(submits.map(() => null)) },
    });
    const say = (_room: string, message: unknown) => void this.said.push(String(message));
    const log = { info() {}, warn: say, error: say, bug: say };
    this.parts = {
      engine,
      route: { engine, check, entry: this.entry, events, clock },
      log,
      metrics,
    };
  }

  /** Runs a queued task to its end. */
  async finish(count: number): Promise<void> {
    const now = systemClock.now();
    const { tasks } = await this.engine.lease(
      { ops: this.ops, limit: count, leaseUntil: 1e15 },
      now,
    );
    await this.engine.ack(tasks.map(({ lease }) => ({ lease, result: "1" })), now);
  }
}

/** A message, and what became of it. */
export interface Sent extends Delivery {
  fate: "open" | "taken" | string;
}

export function message(
  id: string | undefined,
  more: Partial<Delivery> & { op?: string } = {},
): Sent {
  const { op = "square", ...rest } = more;
  const sent: Sent = {
    id,
    body: JSON.stringify({ op, n: 4 }),
    route: undefined,
    isRepeated: false,
    ...rest,
    fate: "open",
    taken() {
      if (sent.fate !== "open") throw new SdError("internal", `settled twice: ${sent.fate}`);
      sent.fate = "taken";
    },
    refused({ code }) {
      if (sent.fate !== "open") throw new SdError("internal", `settled twice: ${sent.fate}`);
      sent.fate = code;
    },
  };
  return sent;
}
