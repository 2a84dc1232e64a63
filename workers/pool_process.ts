/**
 * A worker process from its start to its end: the pool, the link to the server, and the parent that
 * started it. It ends for one of four reasons: the parent is gone, it was asked to stop, its server is
 * gone and it shall not look for it, or a task does not stop, which only the end of the process ends.
 */

import { delay } from "@std/async/delay";
import { EXIT } from "../cli/exit.ts";
import { reconnectPauseMs } from "../net/reconnect_pause.ts";
import { formatTarget } from "../net/target.ts";
import { SdError } from "../protocol/errors.ts";
import { SealError } from "../protocol/link_seal.ts";
import type { PoolStart, TaskPermissions } from "../protocol/pool_start.ts";
import {
  type LeasedTaskMessage,
  type PoolReport,
  type RetireReason,
  type ServerOrder,
  WORK_VERSION,
  type WorkHello,
} from "../protocol/work_message.ts";
import { raiseDiskWall } from "./pool/disk_wall.ts";
import { isExpected, Link } from "./pool/link.ts";
import { LoadFault } from "./ops/load_fault.ts";
import { ParentPipe } from "./pool/parent_pipe.ts";
import { Pool, type PoolListener } from "./pool/pool.ts";
import { TaskLibrary } from "./pool/task_library.ts";
import type { ResultSink } from "./pool/result_intake.ts";

const FORGED_OUT = "something in this process has written to its work link: that is task code";
const FORGED_IN = "something in this process has read from its work link: that is task code";

const NO_WALL =
  "the executable cannot keep task code from importing JSON and JavaScript files of this machine";

/** A link that has lasted so long was a good one: its server is looked for at once. */
const GOOD_MS = 1000;
/** Silence of a server after which it is given up, in ms: a firewall that forgot, a machine that is gone. */
const SILENT_SERVER_MS = 45_000;
/** When one task must be killed, the others have so long to finish. */
const RETIRE_DRAIN_MS = 500;
/** For the last lines to reach the server. */
const FINISH_MS = 100;
const POLL_MS = 5;
/** Lines about what tasks have changed. */
const MAX_TOLD_CHANGES = 100;
/** While the server does not read so much, what tasks say waits; results never do. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** A SIGTERM straight to this process leaves its tasks so long. */
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

class PoolProcess implements PoolListener, ResultSink {
  readonly #start: PoolStart;
  readonly #parent: ParentPipe;
  readonly #library: TaskLibrary;
  readonly #pool: Pool;
  readonly #ended = Promise.withResolvers<number>();
  #link: Link | undefined;
  /** When the server let this process in; Infinity while it has not. */
  #linkedAt = Infinity;
  #isLoaded = false;
  #isRetiring = false;
  #leaving = false;
  /** When tasks that still run are ended; there once this process was asked to stop. */
  #stopAt: number | undefined;
  #toldLoss = "";
  readonly #toldChanges = new Set<string>();
  /** Tasks that do not stop. */
  #doomed = 0;

  constructor(start: PoolStart, parent: ParentPipe) {
    this.#start = start;
    this.#parent = parent;
    const stuck = () => this.spoilt("a schema checks without end");
    this.#library = new TaskLibrary(start, { stuck, single: start.single });
    this.#pool = new Pool({
      workers: start.workers,
      isSingle: start.single !== undefined,
      ops: this.#library,
      maxMemoryBytes: start.maxMemoryBytes,
      sink: this,
      listener: this,
    });
  }

  /** Takes from this process what its task code must not read; see `raiseDiskWall`. */
  shutIn(): void {
    const { permissions, single } = this.#start;
    const missing = raiseDiskWall(this.#library.readable, permissions);
    if (missing !== undefined && !single) this.strayed(`${NO_WALL}: ${missing}`);
  }

  async run(): Promise<number> {
    // Ctrl-C and the end of a terminal reach every process there: the parent decides what they mean.
    Deno.addSignalListener("SIGINT", () => undefined);
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener("SIGHUP", () => undefined);
      // It may be for all processes of a group: then the parent says how long tasks have.
      Deno.addSignalListener("SIGTERM", () => {
        if (this.#stopAt === undefined) this.#stop(SIGTERM_GRACE_MS);
      });
    }
    void this.#parent.listen((graceMs) => this.#stop(graceMs)).finally(endNow);
    void this.#work().then(this.#ended.resolve, this.#ended.reject);
    return await this.#ended.promise;
  }

  /** Loads the task files, and stays linked to the server; resolves with the exit code. */
  async #work(): Promise<number> {
    try {
      // They load as well while it looks at what there is.
      this.#pool.start();
      await this.#library.load();
    } catch (error) {
      if (!(error instanceof LoadFault)) throw error;
      this.#parent.tell({ fault: error.message });
      return EXIT.usage;
    }
    this.#isLoaded = true;
    return await this.#stayLinked();
  }

  // What the pool puts out.

  write(bytes: Uint8Array): void {
    this.#link?.writer.write(bytes);
  }

  line(text: string): void {
    this.#link?.writer.line(text);
  }

  get isFull(): boolean {
    return (this.#link?.writer.waiting ?? 0) > MAX_WAITING_BYTES;
  }

  broken(message: string): void {
    // The library is about to say the same of all workers.
    if (!this.#isLoaded) return;
    if (this.#start.single) this.#parent.tell({ fault: message });
    else this.strayed(`a worker cannot start: ${message}`);
    this.#ended.resolve(EXIT.internal);
  }

  strayed(text: string): void {
    this.#parent.tell({ said: text });
  }

  changed(text: string): void {
    if (this.#toldChanges.has(text) || this.#toldChanges.size >= MAX_TOLD_CHANGES) return;
    this.#toldChanges.add(text);
    this.strayed(text);
  }

  spoilt(why: string): void {
    this.line(JSON.stringify({ retire: [] } satisfies PoolReport));
    void this.#retire(why);
  }

  stuck(lease: number, reason: RetireReason): void {
    // A suspect that ends in time has taken nothing that it should not.
    if (reason !== "suspect") this.#doomed++;
    const report: PoolReport = { retire: [[lease, reason]] };
    this.line(JSON.stringify(report));
    void this.#retire(
      reason === "memory" || reason === "suspect"
        ? "tasks took more memory than they may"
        : "a task would not stop",
    );
  }

  // Its ends.

  /** Gives back what has not begun, lets the rest finish for at most `graceMs`, and leaves. */
  #stop(graceMs: number): void {
    const isFirst = this.#stopAt === undefined;
    this.#stopAt = performance.now() + graceMs;
    if (isFirst) void this.#leave(() => this.#stopAt ?? 0);
  }

  /** A task does not stop: the parent starts another process at once, this one ends. */
  async #retire(why: string): Promise<void> {
    if (this.#isRetiring) return;
    this.#isRetiring = true;
    this.#parent.tell({ retiring: why });
    const end = performance.now() + RETIRE_DRAIN_MS;
    await this.#leave(() => end);
    // The server gives the doomed tasks their verdict when the link closes.
    endNow();
  }

  /** Waits for what runs until `end` at most, but not for the tasks that do not stop. */
  async #leave(end: () => number): Promise<void> {
    this.#leaving = true;
    this.#pool.close();
    while (this.#pool.held > this.#doomed && performance.now() < end()) {
      // The others run again elsewhere; the machine may not have the time.
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
      try {
        await this.#linkOnce();
      } catch (error) {
        if (error instanceof SealError) void this.#retire(FORGED_IN);
        else this.#tellLoss(error);
        if (error instanceof SdError && error.code === "unauthorized") return EXIT.unauthorized;
      }
      this.#link = undefined;
      this.#pool.drop();
      if (this.#leaving) return await this.#ended.promise;
      if (!this.#start.reconnect) return EXIT.unreachable;
      if (performance.now() - this.#linkedAt > GOOD_MS) tries = 0;
      await delay(reconnectPauseMs(tries));
    }
  }

  async #linkOnce(): Promise<void> {
    const { server, reconnect, workers } = this.#start;
    const link = await Link.open({
      server,
      secret: this.#start.secret,
      hello: this.#hello(),
      accept: (lines) => this.#accept(lines),
      order: (order) => this.#obey(order),
      leases: () => this.#pool.leases(),
      // The server's own workers are told by their parent when it is gone.
      silentServerMs: reconnect ? SILENT_SERVER_MS : undefined,
    });
    this.#link = link;
    this.#linkedAt = performance.now();
    this.#toldLoss = "";
    this.#parent.tell({ ready: true, single: this.#library.single });
    const many = workers === 1 ? "1 worker" : `${workers} workers`;
    if (reconnect) this.strayed(`${many} connected to ${formatTarget(server)}`);
    await link.run();
    if (reconnect && !this.#leaving) this.strayed("the server closed the connection");
  }

  #hello(): WorkHello {
    const { workers, pool } = this.#start;
    return {
      cmd: "work",
      version: WORK_VERSION,
      workers,
      credit: this.#pool.credit,
      ops: this.#library.specs,
      pid: Deno.pid,
      alive: true,
      ...(this.#start.single && { single: true }),
      ...(pool === undefined ? {} : { pool }),
    };
  }

  #accept(lines: string[]): void {
    const [line = ""] = lines;
    this.#pool.accept(lines);
    if (!this.#start.single) return;
    // No other task comes after this, and the process ends with the one it has.
    this.line(JSON.stringify({ credit: 0 } satisfies PoolReport));
    this.#parent.tell({ taken: (JSON.parse(line) as LeasedTaskMessage).timeout });
    void this.#endWithTask();
  }

  async #endWithTask(): Promise<void> {
    while (this.#pool.held > 0) await delay(POLL_MS);
    if (this.#leaving) return;
    await this.#leave(() => 0);
    // Whatever the task has left behind.
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

  /** Says why there is no link, once for as long as the reason is the same. */
  #tellLoss(error: unknown): void {
    // Of a process for a single run, the pool beside it tells the same.
    if (this.#leaving || this.#start.single) return;
    const { server, reconnect } = this.#start;
    // A bug of ours; its stack is what helps.
    if (!isExpected(error)) this.strayed(`${error instanceof Error ? error.stack : error}`);
    const what = error instanceof Error ? error.message : String(error);
    const isFinal = !reconnect || error instanceof SdError && error.code === "unauthorized";
    const loss = `${formatTarget(server)}: ${what}${isFinal ? "" : "; trying again"}`;
    if (loss !== this.#toldLoss) this.strayed(loss);
    this.#toldLoss = loss;
  }
}

/** Ends this process, whatever its workers do; `terminate()` would not end one that spins. */
function endNow(): void {
  try {
    Deno.kill(Deno.pid, "SIGKILL");
  } catch {
    // An older runtime wants a permission for it that was given up.
    Deno.exit(EXIT.internal);
  }
}

/** What neither this process needs nor its task code may do. A worker can be given what is here alone. */
async function giveUpPermissions(allowed: TaskPermissions): Promise<void> {
  for (const name of ["write", "run", "env", "ffi", "sys"] as const) {
    if (allowed[name] === undefined) await Deno.permissions.revoke({ name });
  }
}
