/** A runner without a process: takes the tasks that the dispatcher gives it, and ends them when a test says so. */

import type { Lease, LeasedTask, Nack } from "../../server/engine/engine.ts";
import type { BrokenRun } from "../../server/dispatch/results.ts";
import type { Runner } from "../../server/dispatch/runner.ts";
import { copyOf } from "../contract/contract_steps.ts";

export interface FakeRunnerOptions {
  readonly ops?: readonly string[];
  /** Most tasks at a time. */
  readonly capacity?: number;
}

/** The part of a stage that a runner reports to. */
export interface RunnerStage {
  readonly dispatcher: { attach(runner: Runner): void; detach(runner: Runner): void; kick(): void };
  readonly results: {
    ack(acks: readonly { lease: Lease; result: string }[]): void;
    nack(runs: readonly BrokenRun[]): void;
    renew(leases: readonly Lease[]): Promise<void>;
  };
}

let pids = 0;

export class FakeRunner implements Runner {
  readonly ops: ReadonlySet<string>;
  readonly specs = new Map();
  readonly versions = new Map<string, string>();
  readonly pool = undefined;
  readonly pid = ++pids;
  readonly workers = 1;
  readonly isSingle = false;
  accepts = true;
  /** Ids of the tasks that it was given, in their order. */
  readonly given: string[] = [];
  /** The most tasks that it held at a time. */
  most = 0;
  /** Leases that it had to stop. */
  readonly stopped: { lease: Lease; reason: "cancel" | "lost" }[] = [];
  /** Set once it has left. */
  isGone = false;
  readonly #stage: RunnerStage;
  readonly #capacity: number;
  readonly #held = new Map<Lease, LeasedTask>();

  constructor(stage: RunnerStage, { ops = ["square"], capacity = 1 }: FakeRunnerOptions = {}) {
    this.#stage = stage;
    this.ops = new Set(ops);
    this.#capacity = capacity;
  }

  get room(): number {
    return this.accepts ? this.#capacity - this.#held.size : 0;
  }

  get held(): number {
    return this.#held.size;
  }

  get tasks(): readonly LeasedTask[] {
    return [...this.#held.values()];
  }

  heldOps(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { op } of this.#held.values()) counts.set(op, (counts.get(op) ?? 0) + 1);
    return counts;
  }

  run(tasks: readonly LeasedTask[]): void {
    for (const task of tasks.map(copyOf)) {
      this.#held.set(task.lease, task);
      this.given.push(task.id);
    }
    this.most = Math.max(this.most, this.#held.size);
  }

  holds(lease: Lease): boolean {
    return this.#held.has(lease);
  }

  progressOf = () => undefined;
  logOf = () => undefined;
  check = () => Promise.resolve(undefined);

  /** Drops lost runs; a cancelled run goes on until `stop` of the test ends it. */
  stop(leases: readonly Lease[], reason: "cancel" | "lost"): void {
    for (const lease of leases) {
      if (!this.#held.has(lease)) continue;
      this.stopped.push({ lease, reason });
      if (reason === "lost") this.#held.delete(lease);
    }
  }

  cutOff(_why: string): void {
    this.#end("lost");
  }

  /** Reports the results of these tasks; default: of all. */
  complete(tasks: readonly LeasedTask[] = this.tasks): void {
    for (const { lease } of tasks) this.#held.delete(lease);
    if (tasks.length > 0) {
      this.#stage.results.ack(tasks.map(({ lease, id }) => ({ lease, result: `"${id}"` })));
    }
  }

  /** Reports that `task` ended without a result. */
  break(task: LeasedTask, reason: Nack["reason"]): void {
    this.#held.delete(task.lease);
    this.#stage.results.nack([brokenRun(task, reason)]);
  }

  /** As a process that is alive: keeps all its leases. */
  renew(): Promise<void> {
    return this.#stage.results.renew([...this.#held.keys()]);
  }

  /** Its process dies, with all that it holds. */
  die(): void {
    this.#end("died");
  }

  /** Its process ends, and releases the tasks that it holds. */
  leave(): void {
    this.#end("released");
  }

  #end(reason: Nack["reason"]): void {
    if (this.isGone) return;
    this.isGone = true;
    this.accepts = false;
    const runs = this.tasks.map((task) => brokenRun(task, reason));
    this.#held.clear();
    this.#stage.dispatcher.detach(this);
    if (runs.length > 0) this.#stage.results.nack(runs);
    this.#stage.dispatcher.kick();
  }
}

function brokenRun(task: LeasedTask, reason: Nack["reason"]): BrokenRun {
  const error = { code: "task_error", message: "no" } as const;
  return {
    nack: { lease: task.lease, reason, ...(reason === "failed" && { error }) },
    task: { id: task.id, op: task.op, attempt: task.attempt },
  };
}
