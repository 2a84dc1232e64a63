/**
 * A worker process from its start to its end: the pool, the link to the server, and the parent that
 * started it. It ends for one of four reasons: the parent is gone, it was asked to stop, its server is
 * gone and it shall not look for it, or a task does not stop, which only the end of the process ends.
 */

import { delay } from "@std/async/delay";
import { EXIT } from "../cli/exit.ts";
import { escapeControls, say } from "../cli/talk.ts";
import { formatTarget } from "../cli/target.ts";
import { SdError } from "../protocol/errors.ts";
import type { PoolStart } from "../protocol/pool_start.ts";
import {
  type PoolReport,
  type ServerOrder,
  type StopReason,
  WORK_VERSION,
  type WorkHello,
} from "../protocol/work_message.ts";
import { BUILTIN_OPS } from "./builtin.ts";
import { Link } from "./link.ts";
import { ParentPipe } from "./parent_pipe.ts";
import { Pool, type PoolListener } from "./pool.ts";
import type { ResultSink } from "./thread.ts";

const FIRST_RECONNECT_MS = 100;
const MAX_RECONNECT_MS = 5000;
/** When one task must be killed, the others have so long to finish. */
const RETIRE_DRAIN_MS = 500;
/** For the last lines to reach the server. */
const FINISH_MS = 100;
const POLL_MS = 5;
/** While the server does not read so much, what tasks say waits; results never do. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;
/** A SIGTERM straight to this process leaves its tasks so long. */
const SIGTERM_GRACE_MS = 10_000;

/** Runs a worker process; resolves with its exit code. Called for `sd work --pool`. */
export async function runPoolProcess(): Promise<number> {
  const parent = new ParentPipe();
  const start = await parent.readStart();
  if (!start) return EXIT.usage;
  await giveUpPermissions();
  return await new PoolProcess(start, parent).run();
}

class PoolProcess implements PoolListener, ResultSink {
  readonly #start: PoolStart;
  readonly #parent: ParentPipe;
  readonly #pool: Pool;
  readonly #ended = Promise.withResolvers<number>();
  #link: Link | undefined;
  #leaving = false;
  #toldLoss = "";
  /** Tasks that do not stop. */
  #doomed = 0;

  constructor(start: PoolStart, parent: ParentPipe) {
    this.#start = start;
    this.#parent = parent;
    this.#pool = new Pool({ workers: start.workers, sink: this, listener: this });
  }

  async run(): Promise<number> {
    this.#pool.start();
    // Ctrl-C reaches every process of the terminal: the parent decides what it means.
    Deno.addSignalListener("SIGINT", () => undefined);
    if (Deno.build.os !== "windows") {
      Deno.addSignalListener("SIGTERM", () => this.#stop(SIGTERM_GRACE_MS));
    }
    void this.#parent.listen((graceMs) => this.#stop(graceMs)).finally(endNow);
    void this.#stayLinked().then(this.#ended.resolve, this.#ended.reject);
    return await this.#ended.promise;
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

  printed(text: string): void {
    say(`[task code] ${escapeControls(text)}`);
  }

  broken(message: string): void {
    say(`[worker] a worker cannot start: ${message}`);
    this.#ended.resolve(EXIT.internal);
  }

  stuck(lease: number, reason: StopReason): void {
    this.#doomed++;
    const report: PoolReport = { retire: [[lease, reason]] };
    this.line(JSON.stringify(report));
    if (this.#doomed === 1) void this.#retire();
  }

  // Its ends.

  /** Gives back what has not begun, lets the rest finish for at most `graceMs`, and leaves. */
  #stop(graceMs: number): void {
    void this.#leave(graceMs);
  }

  /** A task does not stop: the parent starts another process at once, this one ends. */
  async #retire(): Promise<void> {
    this.#parent.retire();
    await this.#leave(RETIRE_DRAIN_MS);
    // The server gives the doomed tasks their verdict when the link closes.
    endNow();
  }

  /** Waits at most `waitMs` for what runs, but not for the tasks that do not stop. */
  async #leave(waitMs: number): Promise<void> {
    this.#leaving = true;
    this.#pool.close();
    const end = performance.now() + waitMs;
    while (this.#pool.held > this.#doomed && performance.now() < end) await delay(POLL_MS);
    await this.#link?.finish(FINISH_MS);
    this.#ended.resolve(EXIT.ok);
  }

  // The link.

  async #stayLinked(): Promise<number> {
    let delayMs = FIRST_RECONNECT_MS;
    for (;;) {
      const startedAt = performance.now();
      try {
        await this.#linkOnce();
      } catch (error) {
        this.#tellLoss(error);
        if (error instanceof SdError && error.code === "unauthorized") return EXIT.unauthorized;
      }
      this.#link = undefined;
      this.#pool.drop();
      if (this.#leaving) return await this.#ended.promise;
      if (!this.#start.reconnect) return EXIT.unreachable;
      if (performance.now() - startedAt > MAX_RECONNECT_MS) delayMs = FIRST_RECONNECT_MS;
      await delay(delayMs);
      delayMs = Math.min(2 * delayMs, MAX_RECONNECT_MS);
    }
  }

  async #linkOnce(): Promise<void> {
    const { server, reconnect, workers } = this.#start;
    const link = await Link.open({
      server,
      hello: this.#hello(),
      accept: (lines) => this.#pool.accept(lines),
      order: (order) => this.#obey(order),
      leases: () => this.#pool.leases(),
    });
    this.#link = link;
    this.#toldLoss = "";
    const many = workers === 1 ? "1 worker" : `${workers} workers`;
    if (reconnect) say(`[worker] ${many} connected to ${formatTarget(server)}`);
    await link.run();
    if (reconnect && !this.#leaving) say("[worker] the server closed the connection");
  }

  #hello(): WorkHello {
    const { secret, workers, pool } = this.#start;
    return {
      cmd: "work",
      version: WORK_VERSION,
      secret,
      workers,
      credit: this.#pool.credit,
      ops: [...BUILTIN_OPS.keys()].map((op) => ({ op })),
      pid: Deno.pid,
      ...(pool === undefined ? {} : { pool }),
    };
  }

  #obey(order: ServerOrder): void {
    if ("cancel" in order) this.#pool.stopTasks(order.cancel, "cancel");
    else if ("lost" in order) this.#pool.stopTasks(order.lost, "lost");
  }

  /** Says why there is no link, once for as long as the reason is the same. */
  #tellLoss(error: unknown): void {
    if (this.#leaving) return;
    const { server, reconnect } = this.#start;
    const what = error instanceof Error ? error.message : String(error);
    const isFinal = !reconnect || error instanceof SdError && error.code === "unauthorized";
    const loss = `[worker] ${formatTarget(server)}: ${what}${isFinal ? "" : "; trying again"}`;
    if (loss !== this.#toldLoss) say(loss);
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

/** What only the server's side of the program needs; task code has none in any case. */
async function giveUpPermissions(): Promise<void> {
  for (const name of ["write", "run", "env", "ffi", "sys"] as const) {
    await Deno.permissions.revoke({ name });
  }
}
