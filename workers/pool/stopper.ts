/**
 * Stops running tasks: at their time limit, when they are cancelled, when their lease is lost. Three
 * means, each for what the one before cannot reach:
 *
 *     asked     the flag in the table and an aborted signal      a handler that obeys either
 *     dying     the worker is told to end itself                 one that waits for ever
 *     stuck     the whole process is replaced                    one that never yields
 *
 * One that takes too much memory is given no time: it begins with the second.
 *
 * The third is the listener's: `worker.terminate()` does not stop a worker that spins.
 */

import { awake } from "../../net/awake_clock.ts";
import { leaseOf, type PoolReport, type StopReason } from "../../protocol/work_message.ts";
import { stopMessage } from "../ops/stop_message.ts";
import type { ResultSink } from "./result_intake.ts";
import type { CurrentTask, Thread } from "./thread.ts";

/** A handler that was asked to stop has so long to end. */
const GRACE_MS = 250;
/** A worker whose event loop lives ends itself in so long. */
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

export interface StopperListener {
  /** The worker has ended itself, and with it the task `line`; another must take its place. */
  closed(thread: Thread, line: string): void;
  /** Nothing short of the end of the process stops this task. */
  stuck(lease: number, reason: StopReason): void;
}

export class Stopper {
  readonly #sink: ResultSink;
  readonly #listener: StopperListener;
  readonly #stops = new Map<Thread, Stop>();

  constructor(sink: ResultSink, listener: StopperListener) {
    this.#sink = sink;
    this.#listener = listener;
  }

  /** Stops `task`, which runs on `thread` with nothing behind it. */
  stop(thread: Thread, task: CurrentTask, reason: StopReason): void {
    const stop = this.#stops.get(thread);
    if (stop) {
      // Nobody waits for a lost task any more, whatever it was stopped for.
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

  /** The task that was being stopped on `thread` has ended: reports it. Returns its line. */
  ended(thread: Thread): string | undefined {
    const stop = this.#stops.get(thread);
    if (!stop) return undefined;
    this.#stops.delete(thread);
    const report = reportOf(stop);
    if (report) this.#sink.line(JSON.stringify(report));
    return stop.task.line;
  }

  /** Goes on to the next means where the one before has had its time. */
  watch(thread: Thread, now: number): void {
    const stop = this.#stops.get(thread);
    if (!stop) return;
    // Also one that was slower to end than it should: then the process need not end for it.
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

/** What the server is told of a task that was stopped. */
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
