/**
 * A worker process from its start to its end. It connects three parts: the pool, the link to the server, and the
 * parent that started it. There are four reasons for its end:
 *
 *     the parent ended
 *     it was asked to stop
 *     the link is lost, and it must not reconnect
 *     a task does not stop: only the end of the process stops it
 */

import { delay } from "@std/async/delay";
import { EXIT } from "../cli/exit.ts";
import { reconnectPauseMs } from "../net/reconnect_pause.ts";
import { ServerRing } from "../net/server_ring.ts";
import { formatTarget } from "../net/target.ts";
import { SdError } from "../protocol/errors.ts";
import { SealError } from "../protocol/link_seal.ts";
import type { PoolStart } from "../protocol/pool_start.ts";
import {
  type LeasedTaskMessage,
  leaseOf,
  OLDEST_WORK_VERSION,
  type PoolReport,
  type RetireReason,
  type ServerOrder,
  WORK_VERSION,
  type WorkHello,
} from "../protocol/work_message.ts";
import { giveUpPermissions, raiseDiskWall } from "./pool/disk_wall.ts";
import { isExpected, Link } from "./pool/link.ts";
import { Outage } from "./pool/held_runs.ts";
import { LoadFault } from "./ops/load_fault.ts";
import { ParentPipe } from "./pool/parent_pipe.ts";
import { Pool, type PoolListener } from "./pool/pool.ts";
import { TaskLibrary } from "./pool/task_library.ts";
import type { ReportSink } from "./pool/ring_intake.ts";

const FORGED_OUT = "task code in this process has written to its work link";
const FORGED_IN = "task code in this process has read from its work link";

const NO_WALL =
  "the executable cannot keep task code from importing JSON and JavaScript files of this machine";

/** Shortest life of a good link, in ms: after one the process reconnects at once, after others within 50 ms. */
const GOOD_MS = 1000;
/** Longest pause after a refusal that only a person can mend, such as another release, in ms. */
const REFUSED_MS = 5000;
/** Silence after which a link is closed, in ms: a firewall dropped it, or the machine failed. */
const SILENT_SERVER_MS = 45_000;
/** Time for the other tasks to finish when the process ends because of one task, in ms. */
const RETIRE_DRAIN_MS = 500;
/** Time for the last lines to reach the server, and between two looks at running tasks, in ms. */
const FINISH_MS = 100, POLL_MS = 5;
/** Most bytes that wait for the server while log lines are sent; results are always sent. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** Time for tasks to finish after a SIGTERM to this process itself, in ms. */
const SIGTERM_GRACE_MS = 10_000;

/** Runs a worker process; resolves with its exit code. Called for `sd work --pool`. */
export async function runPoolProcess(): Promise<number> {
  const parent = new ParentPipe();
  const start = await parent.readStart();
  if (!start) return EXIT.usage;
  const process = new PoolProcess(start, parent);
  process.shutIn();
  await giveUpPermissions(start.permissions);
  return await process.run();
}

class PoolProcess implements PoolListener, ReportSink {
  readonly #start: PoolStart;
  readonly #servers: ServerRing<PoolStart["server"]>;
  readonly #parent: ParentPipe;
  readonly #library: TaskLibrary;
  readonly #pool: Pool;
  readonly #ended = Promise.withResolvers<number>();
  #link: Link | undefined;
  /** When the server accepted this process; Infinity before that. */
  #linkedAt = Infinity;
  #isLoaded = false;
  #isRetiring = false;
  #leaving = false;
  /** When running tasks are ended; set once this process was asked to stop. */
  #stopAt: number | undefined;
  /** Of this process alone. */
  readonly #instance = crypto.randomUUID();
  readonly #outage: Outage;
  #lastLease = 0;
  /** It has got the only task that it takes. */
  #hasTaken = false;
  /** Number of tasks that do not stop. */
  #stuckTasks = 0;

  constructor(start: PoolStart, parent: ParentPipe) {
    this.#start = start;
    this.#servers = new ServerRing(start.server);
    this.#parent = parent;
    const stuck = () => this.spoilt("a schema check does not end");
    this.#library = new TaskLibrary(start, { stuck, single: start.single });
    this.#pool = new Pool({
      workers: start.workers,
      isSingle: start.single !== undefined,
      ops: this.#library,
      maxMemoryBytes: start.maxMemoryBytes,
      sink: this,
      listener: this,
    });
    this.#outage = new Outage({
      stop: (leases) => this.#pool.stopTasks(leases, "lost"),
      stopAll: () => this.#pool.drop(),
    });
  }

  /** Makes files that task code must not read unreadable for this process; see `raiseDiskWall`. */
  shutIn(): void {
    const { permissions, single } = this.#start;
    const missing = raiseDiskWall(this.#library.readable, permissions);
    if (missing !== undefined && !single) this.strayed(`${NO_WALL}: ${missing}`);
  }

  async run(): Promise<number> {
    // Ctrl-C and the end of a terminal reach all processes of the group: the parent decides what to do.
    Deno.addSignalListener("SIGINT", () => undefined);
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener("SIGHUP", () => undefined);
      // The signal can be for all processes of a group. Then the parent says how long tasks may run.
      Deno.addSignalListener("SIGTERM", () => {
        if (this.#stopAt === undefined) this.#stop(SIGTERM_GRACE_MS);
      });
    }
    void this.#parent.listen((graceMs) => this.#stop(graceMs)).finally(endNow);
    void this.#work().then(this.#ended.resolve, this.#ended.reject);
    return await this.#ended.promise;
  }

  /** Loads the task files, then stays connected to the server; resolves with the exit code. */
  async #work(): Promise<number> {
    try {
      // The workers load the files while the library inspects them.
      this.#pool.start();
      await this.#library.load();
    } catch (error) {
      if (!(error instanceof LoadFault)) throw error;
      this.#parent.send({ fault: error.message });
      return EXIT.usage;
    }
    this.#isLoaded = true;
    return await this.#stayLinked();
  }

  // Output and events of the pool.

  write(bytes: Uint8Array): void {
    if (this.#link) this.#link.writer.write(bytes);
    else this.#outage.runs.write(bytes);
  }

  line(text: string): void {
    if (this.#link) this.#link.writer.line(text);
    else this.#outage.runs.line(text);
  }

  get isFull(): boolean {
    if (!this.#link) return this.#outage.runs.isFull;
    return this.#link.writer.waiting > MAX_WAITING_BYTES;
  }

  broken(message: string): void {
    // The library is about to report the same for all workers.
    if (!this.#isLoaded) return;
    if (this.#start.single) this.#parent.send({ fault: message });
    else this.strayed(`a worker cannot load its task files: ${message}`);
    this.#ended.resolve(EXIT.internal);
  }

  strayed(text: string): void {
    this.#parent.say(text);
  }

  changed(text: string): void {
    this.#parent.sayOnce(text);
  }

  spoilt(why: string): void {
    this.line(JSON.stringify({ retire: [] } satisfies PoolReport));
    void this.#retire(why);
  }

  stuck(lease: number, reason: RetireReason): void {
    // A suspect that ends in time is not to blame.
    if (reason !== "suspect") this.#stuckTasks++;
    const report: PoolReport = { retire: [[lease, reason]] };
    this.line(JSON.stringify(report));
    void this.#retire(
      reason === "memory" || reason === "suspect"
        ? "tasks took more memory than they may"
        : "a task would not stop",
    );
  }

  // The end of the process.

  /** Gives back the tasks that have not begun, lets the others finish for at most `graceMs`, and ends. */
  #stop(graceMs: number): void {
    const isFirst = this.#stopAt === undefined;
    this.#stopAt = performance.now() + graceMs;
    if (isFirst) void this.#leave(() => this.#stopAt ?? 0);
  }

  /** The parent starts another process at once, and this one ends. */
  async #retire(why: string): Promise<void> {
    if (this.#isRetiring) return;
    this.#isRetiring = true;
    this.#parent.send({ retiring: why });
    const end = performance.now() + RETIRE_DRAIN_MS;
    await this.#leave(() => end);
    // When the link closes, the server fails the tasks that did not stop.
    endNow();
  }

  /** Waits for running tasks until `end` at most, but not for the tasks that do not stop. */
  async #leave(end: () => number): Promise<void> {
    this.#leaving = true;
    this.#pool.close();
    const isBusy = () =>
      this.#pool.held > this.#stuckTasks || (this.#outage.runs.size > 0 && !this.#isRetiring);
    while (isBusy() && performance.now() < end()) {
      // The memory of the machine may run out first. The other tasks run again elsewhere.
      if (this.#isRetiring && this.#pool.isRunningAway) break;
      await delay(POLL_MS);
    }
    await this.#link?.finish(FINISH_MS);
    this.#ended.resolve(EXIT.ok);
  }

  // The link.

  async #stayLinked(): Promise<number> {
    for (let tries = 0;; tries++) {
      this.#linkedAt = Infinity;
      let isRefused = false;
      let link: Link | undefined;
      try {
        link = await this.#open();
        await this.#serve(link);
      } catch (error) {
        // One of several servers that is gone does not mean that none is there.
        const isGone = error instanceof Deno.errors.ConnectionRefused && this.#servers.size === 1;
        if (isGone) this.#outage.refused();
        if (error instanceof SealError) void this.#retire(FORGED_IN);
        else this.#sayLoss(error);
        if (error instanceof SdError && error.code === "unauthorized") return EXIT.unauthorized;
        isRefused = error instanceof SdError && error.code === "bad_request";
      }
      this.#lose(link);
      if (this.#leaving && this.#outage.runs.size === 0) return await this.#ended.promise;
      if (!this.#start.reconnect && this.#outage.runs.size === 0) return EXIT.unreachable;
      // A server that ends again and again must not keep its workers away.
      if (this.#linkedAt !== Infinity) {
        tries = performance.now() - this.#linkedAt > GOOD_MS ? 0 : 1;
      }
      this.#servers.next();
      const round = Math.floor(tries / this.#servers.size);
      await delay(isRefused ? REFUSED_MS * (1 - Math.random() / 2) : reconnectPauseMs(round));
    }
  }

  #open(): Promise<Link> {
    return Link.open({
      server: this.#servers.current,
      secret: this.#start.secret,
      hello: this.#hello(),
      accept: (lines) => this.#accept(lines),
      order: (order) => this.#obey(order),
      leases: () => this.#pool.leases(),
      // The server's own workers learn from their parent that it ended.
      silentServerMs: this.#start.reconnect ? SILENT_SERVER_MS : undefined,
    });
  }

  async #serve(link: Link): Promise<void> {
    const { reconnect, workers } = this.#start;
    const server = formatTarget(this.#servers.current);
    this.#link = link;
    this.#linkedAt = performance.now();
    this.#goOn(link);
    this.#parent.forgetLast();
    this.#parent.send({ ready: true, single: this.#library.single });
    const many = workers === 1 ? "1 worker" : `${workers} workers`;
    if (reconnect) this.strayed(`${many} connected to ${server}`);
    await link.run();
    if (reconnect && !this.#leaving) this.strayed("the server closed the connection");
  }

  /** Goes on with the runs that the server has taken up, and stops the others. */
  #goOn(link: Link): void {
    const { lines, lost, unknown } = this.#outage.end(link.terms.held);
    for (const line of lines) link.writer.line(line);
    this.#pool.stopTasks(lost, "lost");
    if (unknown.length > 0) this.line(JSON.stringify({ release: unknown } satisfies PoolReport));
  }

  /** The link is lost. Its runs go on for a while, if the server takes them up again; otherwise they stop. */
  #lose(link: Link | undefined): void {
    this.#link = undefined;
    if (!link) return;
    const { reconnect, single, resumes = false } = this.#start;
    const { holdMs } = link.terms;
    const comesBack = !this.#isRetiring && (reconnect || (single && resumes));
    if (holdMs === undefined || !comesBack) return this.#pool.drop();
    this.#outage.begin(this.#pool.hold(), {
      holdMs,
      silentMs: link.silentMs,
      ops: this.#library.specs,
    });
  }

  #hello(): WorkHello {
    const { workers, pool, machine } = this.#start;
    const { holds } = this.#outage.runs;
    const takesNone = this.#leaving || this.#hasTaken;
    return {
      cmd: "work",
      version: WORK_VERSION,
      oldest: OLDEST_WORK_VERSION,
      workers,
      credit: takesNone ? 0 : this.#pool.credit,
      // Its task files can be older than the files of the process in its place.
      ops: this.#leaving ? [] : this.#library.specs,
      pid: Deno.pid,
      machine,
      alive: true,
      instance: this.#instance,
      last: this.#lastLease,
      ...(holds.length > 0 && { holds }),
      ...(this.#leaving && { leaving: true }),
      ...(this.#start.single && { single: true }),
      ...(pool === undefined || this.#leaving ? {} : { pool }),
    };
  }

  #accept(lines: string[]): void {
    const [line = ""] = lines;
    this.#lastLease = leaseOf(lines.at(-1) ?? "");
    this.#pool.accept(lines);
    if (!this.#start.single) return;
    this.#hasTaken = true;
    // This is the only task of this process.
    this.line(JSON.stringify({ credit: 0 } satisfies PoolReport));
    this.#parent.send({ taken: (JSON.parse(line) as LeasedTaskMessage).timeout });
    void this.#endWithTask();
  }

  async #endWithTask(): Promise<void> {
    while (this.#pool.held > 0 || this.#outage.runs.size > 0) await delay(POLL_MS);
    if (this.#leaving) return;
    await this.#leave(() => 0);
    // The task can have left code behind that never ends.
    endNow();
  }

  #obey(order: ServerOrder): void {
    if ("cancel" in order) this.#pool.stopTasks(order.cancel, "cancel");
    else if ("lost" in order) this.#pool.stopTasks(order.lost, "lost");
    else if ("check" in order) void this.#check(order.check, order.submits);
    else if ("forged" in order) void this.#retire(FORGED_OUT);
  }

  async #check(check: number, submits: [op: string, line: string][]): Promise<void> {
    const faults = await this.#library.check(submits);
    this.line(JSON.stringify({ checked: check, faults } satisfies PoolReport));
  }

  /** Logs why there is no link, once for as long as the reason is the same. */
  #sayLoss(error: unknown): void {
    // For a process with a single task, the pool's process logs the same.
    if (this.#leaving || this.#start.single) return;
    const { reconnect } = this.#start;
    const server = this.#servers.current;
    // A bug of sd: its stack is needed.
    if (!isExpected(error)) this.strayed(`${error instanceof Error ? error.stack : error}`);
    const what = error instanceof Error ? error.message : String(error);
    const isFinal = !reconnect || error instanceof SdError && error.code === "unauthorized";
    this.#parent.sayIfNew(`${formatTarget(server)}: ${what}${isFinal ? "" : "; trying again"}`);
  }
}

/** Ends this process, whatever its workers do: `terminate()` does not end a worker that never yields. */
function endNow(): void {
  try {
    Deno.kill(Deno.pid, "SIGKILL");
  } catch {
    // An older runtime needs a permission for it that this process has dropped.
    Deno.exit(EXIT.internal);
  }
}
