/**
 * A pool of odd workers for a test. Does what a server would: hands out what the pool has credit for,
 * takes back what is released and hands it out again, keeps every report.
 */

import { delay } from "@std/async/delay";
import { BUILTIN_WORK } from "../../protocol/pool_start.ts";
import { leasedTaskLine, leaseOf, type RetireReason } from "../../protocol/work_message.ts";
import { Pool, type PoolListener } from "../../workers/pool/pool.ts";
import type { Profile } from "../../workers/pool/profile.ts";
import type { TaskModule } from "../../workers/ops/task_modules.ts";
import type { ReportSink } from "../../workers/pool/ring_intake.ts";

const BASE: Profile = { permissions: {}, isolate: false };
/** Longer than anything here takes on the slowest machine. */
const PATIENCE_MS = 60_000;

// deno-lint-ignore no-explicit-any
export type Report = any;

export interface TestPoolOptions {
  readonly modules?: readonly TaskModule[];
  readonly entry?: string;
  /** What is in `entry` is ours, and the pool trusts it as it does the built-in ops. */
  readonly isTrusted?: boolean;
  readonly maxMemoryBytes?: number;
  /** In place of a Web Worker. */
  readonly newWorker?: () => Worker;
}

export class TestPool implements ReportSink, PoolListener, Disposable {
  readonly pool: Pool;
  /** Every line for the server, parsed, in order. */
  readonly reports: Report[] = [];
  /** What was printed when no task ran, and what was left behind and failed. */
  readonly strayLines: string[] = [];
  isFull = false;
  readonly stuckTasks: [number, RetireReason][] = [];
  workersStarted = 0;
  spoiltTimes = 0;
  /** When false, every task goes to the pool at once, and what it releases does not come back. */
  obeysCredit = true;
  readonly #decoder = new TextDecoder();
  readonly #lines = new Map<number, string>();
  #partial = "";
  #lease = 0;
  #credit: number;
  #queue: string[] = [];
  #held = 0;

  /** Its workers run the built-in ops and the odd ones, the ops of `modules`, or the worker file `entry`. */
  constructor(workers: number, options: TestPoolOptions = {}) {
    const { modules = [], entry, isTrusted = false } = options;
    const source = entry ?? (modules.length > 0 ? "../../workers/worker.ts" : "./odd_worker.ts");
    const folders = modules.map(({ url }) => new URL(".", url));
    this.pool = new Pool({
      workers,
      ops: {
        // It runs foreign code.
        modules: entry === undefined || isTrusted ? modules : [{ url: entry, name: entry }],
        base: BASE,
        hasSpecial: false,
        isOutdated: false,
        profileOf: () => BASE,
        newWorker: () => {
          this.workersStarted++;
          return options.newWorker?.() ?? new Worker(new URL(source, import.meta.url), {
            type: "module",
            deno: { permissions: folders.length > 0 ? { read: folders } : "none" },
          });
        },
      },
      maxMemoryBytes: options.maxMemoryBytes ?? BUILTIN_WORK.maxMemoryBytes,
      sink: this,
      listener: this,
    });
    this.#credit = this.pool.credit;
    this.pool.start();
  }

  [Symbol.dispose](): void {
    this.pool.stop();
  }

  /** Queues tasks; returns their leases. */
  run(...tasks: { op: string; timeout?: number; [arg: string]: unknown }[]): number[] {
    const lines = tasks.map(({ timeout = 60_000, ...submit }) =>
      leasedTaskLine(++this.#lease, {
        attempt: 1,
        timeoutMs: timeout,
        id: `task-${this.#lease}`,
        payload: JSON.stringify(submit),
      })
    );
    for (const line of lines) this.#lines.set(leaseOf(line), line);
    this.#queue.push(...lines);
    this.#handOut();
    return lines.map(leaseOf);
  }

  /** Orders the pool to stop tasks that it holds. */
  stop(leases: number[], reason: "cancel" | "lost"): void {
    if (reason === "lost") this.#held -= leases.length;
    this.pool.stopTasks(leases, reason);
  }

  /** Loses the link, and starts another with nothing on it. */
  loseLink(): void {
    this.pool.drop();
    this.#queue = [];
    this.#held = 0;
    this.#credit = this.pool.credit;
  }

  /** Runs one task and waits for its end. */
  async result(task: { op: string; timeout?: number; [arg: string]: unknown }): Promise<Report> {
    const [lease] = this.run(task);
    return await this.endOf(lease!);
  }

  /** The report of the end of `lease`, once it came. */
  async endOf(lease: number): Promise<Report> {
    return await this.until(() =>
      this.reports.find((report) => report.lease === lease && isEnd(report))
    );
  }

  /** Waits until `find` finds something. */
  async until<T>(find: () => T | undefined | false): Promise<T> {
    const end = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = find();
      if (found !== undefined && found !== false) return found;
      if (performance.now() > end) {
        throw new Error(
          `no such report came; reports so far: ${JSON.stringify(this.reports).slice(-2000)}`,
        );
      }
      await delay(2);
    }
  }

  write(bytes: Uint8Array): void {
    const lines = (this.#partial + this.#decoder.decode(bytes.slice(), { stream: true }))
      .split("\n");
    this.#partial = lines.pop() ?? "";
    for (const line of lines) this.line(line);
  }

  line(text: string): void {
    const report = JSON.parse(text);
    this.reports.push(report);
    if (report.credit !== undefined) this.#credit = report.credit;
    if (report.lease !== undefined && isEnd(report)) this.#held--;
    if (report.release && this.obeysCredit) {
      this.#held -= report.release.length;
      this.#queue.unshift(...report.release.map((lease: number) => this.#lines.get(lease)!));
    }
    queueMicrotask(() => this.#handOut());
  }

  #handOut(): void {
    const room = this.obeysCredit ? Math.max(0, this.#credit - this.#held) : Infinity;
    const lines = this.#queue.splice(0, room);
    this.#held += lines.length;
    if (lines.length > 0) this.pool.accept(lines);
  }

  stuck(lease: number, reason: RetireReason): void {
    this.stuckTasks.push([lease, reason]);
  }

  changed(text: string): void {
    if (!this.strayLines.includes(text)) this.strayed(text);
  }

  strayed(text: string): void {
    this.strayLines.push(text);
  }

  spoilt(): void {
    this.spoiltTimes++;
  }

  broken(message: string): void {
    throw new Error(message);
  }
}

/** Of a report with a lease: its task goes on after the others. */
function isEnd(report: Report): boolean {
  return report.progress === undefined && report.log === undefined;
}
