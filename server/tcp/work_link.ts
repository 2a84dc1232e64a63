/**
 * A worker process on its connection: leased tasks out, reports in. This is what the dispatcher knows
 * as a `Runner`. It keeps which leases the process holds, and when the connection ends it says what
 * became of them: the doomed ones have their verdict, the others run again.
 */

import { MAX_CREDIT } from "../../protocol/limits.ts";
import type { Line } from "../../protocol/ndjson.ts";
import type { OpSpec } from "../../protocol/op_spec.ts";
import type { Progress } from "../../protocol/task.ts";
import {
  leasedTaskLine,
  leaseOf,
  type PoolReport,
  resultOf,
  type RetireReason,
  type ServerOrder,
  type WorkHello,
} from "../../protocol/work_message.ts";
import type { Runner, UncheckedSubmit } from "../dispatch/runner.ts";
import type { BrokenRun } from "../dispatch/settlement.ts";
import type { Ack, LeasedTask, Nack } from "../engine/engine.ts";
import { RunLog } from "../task/run_log.ts";
import { SerialMap } from "../task/serial_map.ts";
import type { LoggedEntry, TaskLog } from "../task/task_log.ts";
import type { LineHandler } from "./line_handler.ts";
import { LinkChecks } from "./link_checks.ts";
import type { Outbox } from "./outbox.ts";
import { versionsOf } from "./work_hello.ts";

/** A batch of so many tasks is worth a write of its own. */
const EAGER_TASKS = 32;
/** Tasks beyond so many characters wait until the process has read those before them. */
const FEED_CHARS = 4 * 1024 * 1024;

/** Of a task that did not even give way when it was to be stopped. */
const OUT_OF_MEMORY = {
  code: "out_of_memory",
  message:
    "it took more memory than a worker's share (--max-memory), and its worker process was ended",
} as const;

/** What a link tells the loops. */
export interface LinkListener {
  ack(acks: readonly Ack[]): void;
  nack(runs: readonly BrokenRun[]): void;
  /** Pending while no more results should be read. */
  readonly room: Promise<void> | undefined;
  progressed(task: LeasedTask, progress: Progress): void;
  said(task: LeasedTask, entries: readonly LoggedEntry[]): void;
  renew(leases: readonly number[]): Promise<void>;
  /** The link takes more tasks than before. */
  hasRoom(): void;
  detached(link: WorkLink): void;
  /** Bytes on the link are not the pool's own, or some are missing; one of `tasks`, all that it held, has done it. */
  forged(link: WorkLink, what: string, tasks: readonly LeasedTask[]): void;
}

type Said = Extract<PoolReport, { log: unknown }>;

export interface WorkLinkOptions {
  readonly hello: WorkHello;
  readonly outbox: Outbox;
  readonly listener: LinkListener;
  readonly hangUp: () => void;
}

export class WorkLink implements LineHandler, Runner {
  readonly ops: ReadonlySet<string>;
  readonly specs: ReadonlyMap<string, OpSpec>;
  readonly versions: ReadonlyMap<string, string>;
  readonly workers: number;
  /** The name of the server's own pool that this is. */
  readonly pool: string | undefined;
  readonly pid: number;
  readonly #options: WorkLinkOptions;
  /** The tasks that the process holds, by their leases. */
  readonly #held = new SerialMap<LeasedTask>();
  /** Of those that are held, how far they say they are. */
  readonly #progress = new Map<number, Progress>();
  /** Of those that are held, what they have said. */
  readonly #logs = new Map<number, RunLog>();
  /** Of those that are held, the ones that are not written yet. */
  readonly #unwritten = new Map<number, LeasedTask>();
  readonly #doomed = new Map<number, RetireReason>();
  readonly #checks = new LinkChecks((order) => this.#order(order));
  #credit: number;
  #retiring = false;

  constructor(options: WorkLinkOptions) {
    const { hello } = options;
    this.#options = options;
    this.specs = new Map(hello.ops.map((spec) => [spec.op, spec]));
    this.ops = new Set(this.specs.keys());
    this.versions = versionsOf(hello);
    this.workers = hello.workers;
    this.pool = hello.pool;
    this.pid = hello.pid;
    this.#credit = hello.credit;
  }

  get accepts(): boolean {
    return !this.#retiring && this.#credit > 0;
  }

  get room(): number {
    return this.accepts ? this.#credit - this.#held.size : 0;
  }

  get held(): number {
    return this.#held.size;
  }

  heldOps(): ReadonlyMap<string, number> {
    const ops = new Map<string, number>();
    for (const [, { op }] of this.#held.entries()) ops.set(op, (ops.get(op) ?? 0) + 1);
    return ops;
  }

  run(tasks: readonly LeasedTask[]): void {
    let text = "";
    for (const task of tasks) {
      this.#held.set(task.lease, task);
      if (this.#unwritten.size > 0 || text.length > FEED_CHARS) {
        if (this.#unwritten.size === 0) void this.#feed();
        this.#unwritten.set(task.lease, task);
        continue;
      }
      text += leasedTaskLine(task);
      text += "\n";
    }
    if (text === "") return;
    this.#options.outbox.push(text);
    // So many keep the workers busy while the server reads what else came in: both work at a time.
    if (tasks.length >= EAGER_TASKS) this.#options.outbox.flush();
  }

  holds(lease: number): boolean {
    return this.#held.has(lease);
  }

  progressOf(lease: number): Progress | undefined {
    return this.#progress.get(lease);
  }

  logOf(lease: number): TaskLog | undefined {
    return this.#logs.size > 0 ? this.#logs.get(lease)?.log : undefined;
  }

  stop(leases: readonly number[], reason: "cancel" | "lost"): void {
    const unwritten = leases.filter((lease) => this.#unwritten.delete(lease));
    this.#order(reason === "cancel" ? { cancel: [...leases] } : { lost: [...leases] });
    if (reason === "lost") {
      leases.forEach((lease) => this.#release(lease));
    } else if (unwritten.length > 0) {
      // The process has never heard of them.
      this.#options.listener.nack(unwritten.flatMap((lease) => {
        const task = this.#release(lease);
        return task ? [brokenRun(task, { lease, reason: "stopped" })] : [];
      }));
    }
  }

  check(submits: readonly UncheckedSubmit[]) {
    return this.#checks.ask(submits);
  }

  async handle(lines: readonly Line[]): Promise<void> {
    const acks: Ack[] = [];
    const broken: BrokenRun[] = [];
    for (const line of lines) {
      if (line === null || line === "") continue;
      const lease = leaseOf(line);
      const result = lease > 0 ? resultOf(line) : undefined;
      if (result === undefined) {
        this.#report(JSON.parse(line) as PoolReport, broken);
        continue;
      }
      const log = this.logOf(lease);
      if (this.#release(lease)) acks.push(log ? { lease, result, log } : { lease, result });
    }
    const { listener } = this.#options;
    if (acks.length > 0) listener.ack(acks);
    if (broken.length > 0) listener.nack(broken);
    if (listener.room) await listener.room;
  }

  overflow(): void {
    this.#options.hangUp();
  }

  /** Its process no longer says what its pool says; `what` tells how that shows. The link ends. */
  forged(what: string): void {
    this.#order({ forged: what });
    this.#options.listener.forged(this, what, [...this.#held.entries()].map(([, task]) => task));
    this.#options.hangUp();
  }

  ended(): Promise<void> {
    return Promise.resolve();
  }

  cut(): void {
    const { listener } = this.#options;
    const broken = [...this.#held.entries()].map(([lease, task]) =>
      brokenRun(task, { ...this.#verdict(lease), log: this.logOf(lease) })
    );
    this.#held.clear();
    this.#progress.clear();
    this.#logs.clear();
    this.#unwritten.clear();
    listener.detached(this);
    this.#checks.cut();
    if (broken.length > 0) listener.nack(broken);
  }

  /** The process does not hold it any more; the task, where it did. */
  #release(lease: number): LeasedTask | undefined {
    if (this.#progress.size > 0) this.#progress.delete(lease);
    if (this.#logs.size > 0) this.#logs.delete(lease);
    return this.#held.take(lease);
  }

  /** Writes what is unwritten, a piece at a time, as fast as the process reads. */
  async #feed(): Promise<void> {
    const { outbox } = this.#options;
    do {
      // The first is put there once this has been called, and one that is cancelled may have been the last.
      await undefined;
      await outbox.room();
      let text = "";
      for (const [lease, task] of this.#unwritten) {
        this.#unwritten.delete(lease);
        text += leasedTaskLine(task);
        text += "\n";
        if (text.length > FEED_CHARS) break;
      }
      if (text !== "") outbox.push(text);
    } while (this.#unwritten.size > 0);
  }

  #report(report: PoolReport, broken: BrokenRun[]): void {
    if ("lease" in report) {
      const { lease } = report;
      const task = this.#held.get(lease);
      if (!task) return;
      if ("progress" in report) {
        this.#progress.set(lease, report.progress);
        this.#options.listener.progressed(task, report.progress);
        return;
      }
      if ("log" in report) return this.#said(task, report);
      const log = this.logOf(lease);
      this.#release(lease);
      broken.push(brokenRun(
        task,
        "cancelled" in report ? { lease, reason: "stopped", log } : {
          lease,
          reason: "failed",
          error: report.error,
          last: report.retry === false,
          log,
        },
      ));
    } else if ("release" in report) {
      for (const lease of report.release) {
        const task = this.#release(lease);
        if (task) broken.push(brokenRun(task, { lease, reason: "released" }));
      }
    } else if ("renew" in report) {
      void this.#options.listener.renew(report.renew);
    } else if ("credit" in report) {
      const grown = report.credit > this.#credit;
      this.#credit = Math.min(report.credit, MAX_CREDIT);
      if (grown) this.#options.listener.hasRoom();
    } else if ("checked" in report) {
      this.#checks.take(report);
    } else if ("forged" in report) {
      this.forged(report.forged);
    } else if ("retire" in report) {
      this.#retiring = true;
      for (const [lease, reason] of report.retire) this.#doomed.set(lease, reason);
    }
  }

  #said(task: LeasedTask, { lease, log, dropped }: Said): void {
    let said = this.#logs.get(lease);
    if (!said) this.#logs.set(lease, said = new RunLog(task));
    this.#options.listener.said(task, said.add(log, dropped));
  }

  /** What became of a lease that the process held when it died. */
  #verdict(lease: number): Nack {
    switch (this.#doomed.get(lease)) {
      case "timeout":
        return {
          lease,
          reason: "failed",
          error: {
            code: "timeout",
            message: "stopped at its time limit; it did not obey, so its worker process was ended",
          },
        };
      case "cancel":
        return { lease, reason: "stopped" };
      case "memory":
        return { lease, reason: "failed", error: OUT_OF_MEMORY, last: true };
      case "suspect":
        return { lease, reason: "died", error: OUT_OF_MEMORY };
      default:
        // A process that ends for another task's sake has not died of this one.
        return { lease, reason: this.#retiring ? "released" : "died" };
    }
  }

  #order(order: ServerOrder): void {
    this.#options.outbox.push(JSON.stringify(order) + "\n");
  }
}

/** A copy of what may be told of the task: the engine's own goes on to live. */
function brokenRun({ id, op, attempt }: LeasedTask, nack: Nack): BrokenRun {
  return { nack, task: { id, op, attempt } };
}
