/**
 * A worker process on its connection: leased tasks out, reports in. The dispatcher knows it as a `Runner`. It keeps
 * the leases that the process holds. When the connection ends, runs with an order to stop end as they should have,
 * and the others run again.
 */

import { formatDuration } from "../../../protocol/text_forms.ts";
import { SdError } from "../../../protocol/errors.ts";
import { MAX_CREDIT } from "../../../protocol/limits.ts";
import type { Line } from "../../../protocol/ndjson.ts";
import type { OpSpec } from "../../../protocol/op_spec.ts";
import type { Progress } from "../../../protocol/task.ts";
import {
  leasedTaskLine,
  leaseOf,
  type PoolReport,
  resultJsonOf,
  type RetireReason,
  type ServerOrder,
  type WorkHello,
} from "../../../protocol/work_message.ts";
import type { Runner, UncheckedSubmit } from "../../dispatch/runner.ts";
import type { BrokenRun } from "../../dispatch/results.ts";
import type { Ack, Lease, LeasedTask, Nack } from "../../engine/engine.ts";
import type { LoggedEntry, TaskLog } from "../../task/task_log.ts";
import type { ServerLimits } from "../../limits.ts";
import type { Log } from "../../log.ts";
import type { LineHandler } from "../socket/connection.ts";
import { HeldTasks, type LeaseNumbers } from "./held_tasks.ts";
import { LinkChecks, nackOf, nackOfHeld, readReport } from "./pool_report.ts";
import type { Outbox } from "../socket/outbox.ts";
import { versionsOf } from "./work_hello.ts";

/** Least tasks of a batch that is written at once. */
const EAGER_TASKS = 32;
/** Characters of tasks that are written before the process has read some. */
const FEED_CHARS = 4 * 1024 * 1024;

const ALIVE = JSON.stringify({ alive: true } satisfies ServerOrder) + "\n";

/** The part of the server that takes the ends of runs to the engine. */
export interface RunReports {
  ack(acks: readonly Ack[]): void;
  nack(runs: readonly BrokenRun[]): void;
  renew(leases: readonly Lease[]): Promise<void>;
  /** Pending while no more results should be read. */
  readonly room: Promise<void> | undefined;
}

/** The parts of the server that hear of a link, and of its tasks while they run. */
export interface LinkListener {
  progressed(task: LeasedTask, progress: Progress): void;
  said(task: LeasedTask, entries: readonly LoggedEntry[]): void;
  /** The link takes more tasks than before. */
  hasRoom(): void;
  detached(link: WorkLink): void;
  /** Bytes on the link are not the pool's own, or some are missing; one of `tasks`, all that it held, has done it. */
  forged(link: WorkLink, what: string, tasks: readonly LeasedTask[]): void;
}

interface WorkLinkOptions {
  readonly numbers: LeaseNumbers;
  readonly hello: WorkHello;
  /** It came through the port of the server's own workers. */
  readonly isOwn: boolean;
  readonly outbox: Outbox;
  readonly reports: RunReports;
  readonly listener: LinkListener;
  readonly hangUp: () => void;
  /** Ends the connection now. */
  readonly cut: () => void;
  /** Counts the time in which the server was awake: a stop of its own is no silence of its workers. */
  readonly clock: { readonly now: number };
  readonly limits: Pick<ServerLimits, "quietLinkMs" | "silentLinkMs">;
  readonly leaseMs: number;
  readonly log: Log;
}

export class WorkLink implements LineHandler, Runner {
  /** A process that is killed may have written half a result, which may look like one. */
  readonly wantsNewlines = true;
  readonly ops: ReadonlySet<string>;
  readonly specs: ReadonlyMap<string, OpSpec>;
  readonly versions: ReadonlyMap<string, string>;
  readonly workers: number;
  /** It runs one task, of an op that asks for a process of its own, and ends. */
  readonly isSingle: boolean;
  /** The name of the server's own pool that this is. */
  readonly pool: string | undefined;
  readonly pid: number;
  readonly machine: string | undefined;
  /** Its process belongs to this server. */
  readonly isOwn: boolean;
  readonly #options: WorkLinkOptions;
  readonly #held: HeldTasks;
  /** Held tasks that are not written yet. */
  readonly #unwritten = new Map<number, LeasedTask>();
  /** Runs that did not stop, and why their process is being replaced. */
  readonly #retired = new Map<number, RetireReason>();
  readonly #checks = new LinkChecks((order) => this.#order(order));
  readonly #showsLife: boolean;
  #credit: number;
  #retiring = false;
  /** When something last came in, by the clock of the sweeper. */
  #heardAt: number;
  /** Batches of lines that are being handled: what comes behind them is not read yet. */
  #handling = 0;
  /** It has been silent for a while, and gets no more tasks. */
  #isQuiet = false;
  /** The server ends the link, for no fault of the tasks that the process holds. */
  #isCutOff = false;
  #isCut = false;

  constructor(options: WorkLinkOptions) {
    const { hello } = options;
    this.#options = options;
    this.#held = new HeldTasks(options.numbers);
    this.isSingle = hello.single === true;
    // The process that has loaded a file describes its ops; a process for a single run does not.
    this.specs = new Map(this.isSingle ? [] : hello.ops.map((spec) => [spec.op, spec]));
    const own = hello.ops.filter(({ isolate }) => (isolate === "process") === this.isSingle);
    this.ops = new Set(own.map(({ op }) => op));
    this.versions = versionsOf(hello);
    this.workers = hello.workers;
    this.pool = hello.pool;
    this.isOwn = options.isOwn;
    this.pid = hello.pid;
    this.machine = hello.machine;
    this.#credit = hello.credit;
    this.#showsLife = hello.alive === true;
    this.#heardAt = options.clock.now;
  }

  get accepts(): boolean {
    return !this.#retiring && !this.#isQuiet && this.#credit > 0;
  }

  get room(): number {
    return this.accepts ? this.#credit - this.#held.size : 0;
  }

  get held(): number {
    return this.#held.size;
  }

  heldOps(): ReadonlyMap<string, number> {
    const ops = new Map<string, number>();
    for (const { task: { op } } of this.#held.entries()) ops.set(op, (ops.get(op) ?? 0) + 1);
    return ops;
  }

  run(tasks: readonly LeasedTask[]): void {
    let text = "";
    for (const task of tasks) {
      const number = this.#held.add(task);
      if (this.#unwritten.size > 0 || text.length > FEED_CHARS) {
        if (this.#unwritten.size === 0) void this.#feed();
        this.#unwritten.set(number, task);
        continue;
      }
      text += leasedTaskLine(number, task);
      text += "\n";
    }
    if (text === "") return;
    this.#options.outbox.push(text);
    // A large batch keeps the workers busy while the server reads on: both work at the same time.
    if (tasks.length >= EAGER_TASKS) this.#options.outbox.flush();
  }

  holds(lease: Lease): boolean {
    return this.#held.numberOf(lease) !== undefined;
  }

  progressOf(lease: Lease): Progress | undefined {
    return this.#held.progressOf(lease);
  }

  logOf(lease: Lease): TaskLog | undefined {
    return this.#held.logOf(lease);
  }

  stop(leases: readonly Lease[], reason: "cancel" | "lost"): void {
    const numbers = this.#held.numbersOf(leases);
    if (numbers.length === 0) return;
    const unwritten = numbers.filter((number) => this.#unwritten.delete(number));
    this.#order(reason === "cancel" ? { cancel: numbers } : { lost: numbers });
    if (reason === "lost") {
      numbers.forEach((number) => this.#held.take(number));
    } else if (unwritten.length > 0) {
      // The process has never heard of them.
      this.#options.reports.nack(unwritten.flatMap((number) => {
        const lease = this.#held.leaseOf(number);
        const task = this.#held.take(number);
        return task && lease !== undefined ? [brokenRun(task, { lease, reason: "stopped" })] : [];
      }));
    }
  }

  check(submits: readonly UncheckedSubmit[]) {
    return this.#checks.ask(submits);
  }

  /** Every good line counts, also of a process that is cut off for a bad one. */
  async handle(lines: readonly Line[]): Promise<void> {
    const { reports, log } = this.#options;
    const acks: Ack[] = [];
    const broken: BrokenRun[] = [];
    let fault: string | undefined;
    this.#heard();
    for (const line of lines) {
      if (line === "") continue;
      try {
        this.#take(line, acks, broken);
      } catch (error) {
        if (error instanceof SdError) fault ??= error.message;
        else log.bug("server", error);
      }
    }
    if (acks.length > 0) reports.ack(acks);
    if (broken.length > 0) reports.nack(broken);
    if (fault !== undefined) return this.cutOff(`it broke the protocol: ${fault}`);
    if (!reports.room) return;
    this.#handling++;
    await reports.room;
    this.#handling--;
    this.#heard();
  }

  /** Shows life, and looks for how long the process has shown none. */
  sweep(): void {
    const { clock, limits, leaseMs, outbox } = this.#options;
    if (this.#isCut) return;
    if (this.#showsLife) outbox.push(ALIVE);
    if (this.#handling > 0) return;
    const silentMs = clock.now - this.#heardAt;
    if (!this.#showsLife) {
      // An older process: it renews what it holds, three times in a lease, and is silent while it holds nothing.
      this.#isQuiet = this.#held.size > 0 && silentMs > leaseMs / 2;
    } else if (silentMs > limits.silentLinkMs) {
      this.cutOff(`it has sent nothing for ${formatDuration(Math.round(silentMs))}`);
    } else this.#isQuiet = silentMs > limits.quietLinkMs;
  }

  /** The server itself has ended the link. */
  get isCutOff(): boolean {
    return this.#isCutOff;
  }

  cutOff(why: string, overdue: readonly Lease[] = []): void {
    if (this.#isCut) return;
    for (const number of this.#held.numbersOf(overdue)) this.#retired.delete(number);
    const { log, cut } = this.#options;
    const held = this.#held.size;
    const tasks = held === 0
      ? ""
      : `; ${held === 1 ? "its task runs" : `its ${held} tasks run`} again`;
    log.warn("server", `worker process ${this.pid} is cut off: ${why}${tasks}`);
    this.#isCutOff = true;
    this.cut();
    cut();
  }

  overflow(maxBytes: number): void {
    this.cutOff(`it broke the protocol: a line is longer than ${maxBytes} bytes`);
  }

  /** The bytes on the link are not the pool's own; `what` says how that shows. The link ends. */
  forged(what: string): void {
    this.#order({ forged: what });
    this.#options.listener.forged(this, what, [...this.#held.entries()].map(({ task }) => task));
    this.#options.hangUp();
  }

  ended(): Promise<void> {
    return Promise.resolve();
  }

  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    const { listener, reports } = this.#options;
    // A process that ends for another task's sake has not died of the others.
    const otherwise = this.#isCutOff ? "lost" : this.#retiring ? "released" : "died";
    const broken = [...this.#held.entries()].map(({ number, lease, task }) => {
      const nack = nackOfHeld(lease, this.#retired.get(number), otherwise);
      return brokenRun(task, { ...nack, log: this.#held.log(number) });
    });
    this.#held.clear();
    this.#unwritten.clear();
    listener.detached(this);
    this.#checks.cut();
    if (broken.length > 0) reports.nack(broken);
  }

  #heard(): void {
    this.#heardAt = this.#options.clock.now;
    if (!this.#isQuiet) return;
    this.#isQuiet = false;
    this.#options.listener.hasRoom();
  }

  #take(line: Line, acks: Ack[], broken: BrokenRun[]): void {
    const number = line === null ? 0 : leaseOf(line);
    const result = number > 0 && line?.endsWith("}") ? resultJsonOf(line) : undefined;
    if (result === undefined) {
      const report = readReport(line);
      if (report) this.#report(report, broken);
      return;
    }
    const lease = this.#held.leaseOf(number);
    if (lease === undefined) return;
    const log = this.#held.log(number);
    this.#held.take(number);
    acks.push(log ? { lease, result, log } : { lease, result });
  }

  /** Writes what is unwritten, a piece at a time, as fast as the process reads. */
  async #feed(): Promise<void> {
    const { outbox } = this.#options;
    do {
      // The first is put there once this has been called, and one that is cancelled may have been the last.
      await undefined;
      await outbox.room();
      let text = "";
      for (const [number, task] of this.#unwritten) {
        this.#unwritten.delete(number);
        text += leasedTaskLine(number, task);
        text += "\n";
        if (text.length > FEED_CHARS) break;
      }
      if (text !== "") outbox.push(text);
    } while (this.#unwritten.size > 0);
  }

  #report(report: PoolReport, broken: BrokenRun[]): void {
    if ("lease" in report) {
      const { lease: number } = report;
      const task = this.#held.get(number);
      if (!task) return;
      if ("progress" in report) {
        this.#held.setProgress(number, report.progress);
        this.#options.listener.progressed(task, report.progress);
        return;
      }
      if ("log" in report) {
        this.#options.listener.said(task, this.#held.addLog(number, task, report));
        return;
      }
      const lease = this.#held.leaseOf(number);
      const log = this.#held.log(number);
      this.#held.take(number);
      if (lease !== undefined) broken.push(brokenRun(task, { ...nackOf(lease, report), log }));
    } else if ("release" in report) {
      for (const number of report.release) {
        const lease = this.#held.leaseOf(number);
        const task = this.#held.take(number);
        if (task && lease !== undefined) {
          broken.push(brokenRun(task, { lease, reason: "released" }));
        }
      }
    } else if ("renew" in report) {
      const leases = report.renew.map((number) => this.#held.leaseOf(number));
      void this.#options.reports.renew(leases.filter((lease) => lease !== undefined));
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
      for (const [lease, reason] of report.retire) this.#retired.set(lease, reason);
    }
  }

  #order(order: ServerOrder): void {
    this.#options.outbox.push(JSON.stringify(order) + "\n");
  }
}

/** A copy of the members that are reported: the engine's own object goes on changing. */
function brokenRun({ id, op, attempt }: LeasedTask, nack: Nack): BrokenRun {
  return { nack, task: { id, op, attempt } };
}
