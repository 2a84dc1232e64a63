/**
 * Stops running tasks: at their time limit, when they are cancelled, when their lease is lost. There are three steps,
 * each for handlers that the one before cannot stop:
 *
 *     asked     the flag in the table and an aborted signal.     Stops a handler that obeys either.
 *     dying     The worker is asked to end itself.               Stops a handler that waits for ever.
 *     stuck     The whole process is replaced.                   Stops a handler that never yields.
 *
 * A task that takes too much memory gets no time: it begins with the second step. The third step is done by the
 * listener, because `worker.terminate()` does not stop a worker that never yields. `Pool` owns it.
 */

import { awake } from "../../net/awake_clock.ts";
import { leaseOf, type PoolReport, type StopReason } from "../../protocol/work_message.ts";
import { stopMessage } from "../ops/context.ts";
import type { ReportSink } from "./ring_intake.ts";
import type { CurrentTask, Thread } from "./thread.ts";

/** Time for a handler to end after it was asked to stop, in ms. */
const GRACE_MS = 250;
/** Time for a worker to end itself, in ms. */
const DYING_MS = 100;

interface Stop {
  task: CurrentTask;
  lease: number;
  reason: StopReason;
  phase: "asked" | "dying" | "stuck";
  /** When the phase began, in ms. */
  since: number;
  heartbeat: number;
}

interface StopperListener {
  /** The worker has ended itself, and the task `line` with it; another worker must take its place. */
  closed(thread: Thread, line: string): void;
  /** Only the end of the process stops this task. */
  stuck(lease: number, reason: StopReason): void;
}

export class Stopper {
  readonly #sink: ReportSink;
  readonly #listener: StopperListener;
  readonly #stops = new Map<Thread, Stop>();

  constructor(sink: ReportSink, listener: StopperListener) {
    this.#sink = sink;
    this.#listener = listener;
  }

  /** Stops `task`, which runs on `thread` with nothing behind it. */
  stop(thread: Thread, task: CurrentTask, reason: StopReason): void {
    const stop = this.#stops.get(thread);
    if (stop) {
      // A lost task is not reported, whatever it was stopped for.
      if (reason === "lost") stop.reason = reason;
      return;
    }
    const hasTime = reason !== "memory";
    this.#stops.set(thread, {
      task,
      lease: leaseOf(task.line),
      reason,
      phase: hasTime ? "asked" : "dying",
      since: awake.now(),
      heartbeat: thread.row.heartbeat,
    });
    thread.stop(task, reason);
    if (!hasTime) thread.die();
  }

  isStopping(thread: Thread): boolean {
    return this.#stops.has(thread);
  }

  /** It is stopping a task that is lost. */
  isLosing(thread: Thread): boolean {
    return this.#stops.get(thread)?.reason === "lost";
  }

  /** Reports the stopped task of `thread`, which has ended. Returns its line. */
  ended(thread: Thread): string | undefined {
    const stop = this.#stops.get(thread);
    if (!stop) return undefined;
    this.#stops.delete(thread);
    const report = reportOf(stop);
    if (report) this.#sink.line(JSON.stringify(report));
    return stop.task.line;
  }

  /** Goes on to the next step when the last one has had its time. */
  watch(thread: Thread, now: number): void {
    const stop = this.#stops.get(thread);
    if (!stop) return;
    // Even if the worker ended late: then the process need not end.
    if (stop.phase !== "asked" && thread.row.closed) {
      this.ended(thread);
      this.#listener.closed(thread, stop.task.line);
    } else if (stop.phase === "asked" && now - stop.since >= GRACE_MS) {
      if (thread.row.heartbeat === stop.heartbeat) return this.#stuck(stop);
      stop.phase = "dying";
      stop.since = now;
      thread.die();
    } else if (stop.phase === "dying" && now - stop.since >= DYING_MS) {
      this.#stuck(stop);
    }
  }

  #stuck(stop: Stop): void {
    stop.phase = "stuck";
    this.#listener.stuck(stop.lease, stop.reason);
  }
}

/** The report of a stopped task to the server. */
function reportOf({ lease, reason, task }: Stop): PoolReport | undefined {
  switch (reason) {
    case "lost":
      return undefined;
    case "cancel":
      return { lease, cancelled: true };
    case "memory":
      return {
        lease,
        error: { code: "out_of_memory", message: stopMessage(reason, 0) },
        retry: false,
      };
    case "timeout":
      return { lease, error: { code: "timeout", message: stopMessage(reason, task.timeoutMs) } };
  }
}
