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
  type HeldLease,
  leaseOf,
  type PoolReport,
  resultJsonOf,
  type RetireReason,
  type ServerOrder,
  type WorkHello,
  type WorkWelcome,
} from "../../../protocol/work_message.ts";
import type { Runner, UncheckedSubmit } from "../../dispatch/runner.ts";
import type { BrokenRun, ResultReports } from "../../dispatch/results.ts";
import type { Ack, Lease, LeasedTask } from "../../engine/engine.ts";
import type { LoggedEntry, TaskLog } from "../../task/task_log.ts";
import type { ServerLimits } from "../../limits.ts";
import type { Log } from "../../log.ts";
import type { LineHandler } from "../socket/connection.ts";
import { HeldTasks, type LeaseNumbers, TaskFeed } from "./held_tasks.ts";
import type { LinkRegister } from "./link_register.ts";
import { brokenRun, LinkChecks, nackOf, nackOfHeld, readReport } from "./pool_report.ts";
import type { Outbox } from "../socket/outbox.ts";
import { versionsOf } from "./work_hello.ts";

const ALIVE = JSON.stringify({ alive: true } satisfies ServerOrder) + "\n";

type ReportNames = "ack" | "nack" | "renew" | "adopt" | "isShared" | "isStopping" | "room";
/** The part of the server that takes the ends of runs to the engine. */
export type RunReports = Pick<ResultReports, ReportNames>;

/** The parts of the server that hear of a link, and of its tasks while they run. */
export interface LinkListener {
  /** A link is about to join; it gets tasks once that has resolved. */
  joining(link: WorkLink): Promise<void> | undefined;
  attached(link: WorkLink): void;
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
  readonly register: LinkRegister;
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
  /** The name of its process, if that goes on with its runs when the link is lost. */
  readonly instance: string | undefined;
  /** Its process belongs to this server. */
  readonly isOwn: boolean;
  readonly #options: WorkLinkOptions;
  readonly #held: HeldTasks;
  readonly #feed: TaskFeed;
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
  /** Its process was let in. */
  #isIn = false;

  constructor(options: WorkLinkOptions) {
    const { hello } = options;
    this.#options = options;
    this.#held = new HeldTasks(options.numbers);
    this.#feed = new TaskFeed(options.outbox);
    this.isSingle = hello.single === true;
    // The process that has loaded a file describes its ops; a process for a single run does not.
    const ops = hello.leaving ? [] : hello.ops;
    this.specs = new Map(this.isSingle ? [] : ops.map((spec) => [spec.op, spec]));
    const own = ops.filter(({ isolate }) => (isolate === "process") === this.isSingle);
    this.ops = new Set(own.map(({ op }) => op));
    this.versions = versionsOf(hello);
    this.workers = hello.workers;
    this.pool = hello.leaving ? undefined : hello.pool;
    this.instance = hello.instance;
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

  /** Lets the process in. `welcome`: the answer, without its runs. Rejects with an `SdError` if the engine has a fault. */
  join(welcome: WorkWelcome): Promise<void> | void {
    const { register, listener, hello } = this.#options;
    if (this.instance !== undefined) register.enter(this.instance, this);
    const holds = register.trusts(this.instance) ? hello.holds ?? [] : [];
    const ready = listener.joining(this);
    if (holds.length === 0 && !ready) return this.#letIn(welcome, []);
    return Promise.all([this.#adopt(holds), ready]).then(([held]) => this.#letIn(welcome, held));
  }

  #letIn(welcome: WorkWelcome, held: number[]): void {
    if (this.#isCut) return;
    this.#isIn = true;
    const answer: WorkWelcome = this.#options.hello.holds ? { ...welcome, held } : welcome;
    this.#options.outbox.push(JSON.stringify(answer) + "\n");
    this.#options.listener.attached(this);
  }

  /** Goes on with runs of the process; returns the numbers of all that are not lost. */
  async #adopt(holds: readonly HeldLease[]): Promise<number[]> {
    const { register, reports, log } = this.#options;
    const blamed = register.takeBlamed(this.instance ?? "");
    const held = await this.#held.resume(
      holds,
      blamed,
      (runs) => reports.adopt(runs, this.versions),
    );
    // The process has left again meanwhile.
    if (this.#isCut) this.#endRuns("lost");
    else if (holds.length > 0) {
      log.info(
        "server",
        `worker process ${this.pid} goes on with ${held.length} of ${holds.length} runs`,
      );
    }
    return held;
  }

  run(tasks: readonly LeasedTask[]): void {
    this.#feed.write(tasks, this.#held);
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
    const unwritten = numbers.filter((number) => this.#feed.drop(number));
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
    if (this.#isCut || !this.#isIn) return;
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
    if (this.instance !== undefined) this.#options.register.distrust(this.instance);
    this.#options.listener.forged(this, what, [...this.#held.entries()].map(({ task }) => task));
    this.#options.hangUp();
  }

  readonly ended = () => Promise.resolve();
  /** The ids of tasks that it has held since the last call, or longer. */
  readonly lastingRuns = () => this.#held.lasting();

  cut(): void {
    if (this.#isCut) return;
    this.#isCut = true;
    // A process that ends for another task's sake has not died of the others.
    const isOurs = this.#isCutOff || this.#options.reports.isStopping;
    const died = this.#endRuns(isOurs ? "lost" : this.#retiring ? "released" : "died");
    if (this.instance !== undefined) this.#options.register.leave(this.instance, this, died);
    this.#checks.cut();
  }

  /** Ends all runs; returns the numbers of those whose end counts as a death. */
  #endRuns(otherwise: "died" | "released" | "lost"): number[] {
    const { listener, reports } = this.#options;
    const died: number[] = [];
    const broken = [...this.#held.entries()].map(({ number, lease, task }) => {
      const nack = nackOfHeld(lease, this.#retired.get(number), otherwise);
      if (nack.reason === "died") died.push(number);
      return brokenRun(task, { ...nack, log: this.#held.log(number) });
    });
    this.#held.clear();
    this.#feed.clear();
    if (this.#isIn) listener.detached(this);
    if (broken.length > 0) reports.nack(broken);
    return died;
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
