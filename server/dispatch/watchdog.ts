/**
 * The watchdog guards a promise: a task that is due starts beside an idle worker that has its op. Once a second it
 * looks whether a worker process has had room for 5 s while tasks of its ops waited. If so, the engine compares its
 * memory with its store and repairs its queues. A limit, a rate or a delay can also hold tasks back, so looks that find
 * nothing become rare. A find is a fault of sd: it is logged at `error`, counted, and shown as a notice.
 */

import type { Clock } from "../clock.ts";
import type { Engine } from "../engine/engine.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics.ts";
import type { Dispatcher } from "./dispatcher.ts";
import { Ticker } from "./upkeep.ts";

interface WatchdogOptions {
  readonly engine: Pick<Engine, "stats" | "recheck">;
  readonly dispatcher: Pick<Dispatcher, "idleOps" | "handedOut" | "kick" | "runners">;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, "standstills" | "notices">;
}

/** Pause between two looks, in ms. */
const LOOK_MS = 1000;
/** Looks in a row that must find a worker idle while tasks wait before the engine is asked. */
const IDLE_LOOKS = 5;
/** Most looks between two questions to the engine that found nothing. */
const MAX_LOOKS = 60;

export function createWatchdog(options: WatchdogOptions): Ticker {
  const { clock, log } = options;
  const watchdog = new Watchdog(options);
  return new Ticker({
    room: "watchdog",
    clock,
    log,
    async work() {
      await watchdog.look();
      return LOOK_MS;
    },
  });
}

class Watchdog {
  readonly #options: WatchdogOptions;
  /** Looks in a row at which a worker was idle and tasks waited. */
  #looks = 0;
  #askAt = IDLE_LOOKS;
  /** The count of handed-out tasks at the last look that found a task which could start; `undefined` if it found none. */
  #handedOut: number | undefined;

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  async look(): Promise<void> {
    const { engine, dispatcher } = this.#options;
    const ops = dispatcher.idleOps();
    if (ops.size === 0 || !await this.#isWaitedFor(ops)) {
      this.#looks = 0;
      this.#askAt = IDLE_LOOKS;
      this.#handedOut = undefined;
      return;
    }
    if (++this.#looks < this.#askAt || !engine.recheck) return;
    this.#askAt = this.#looks + Math.min(this.#askAt, MAX_LOOKS);
    await this.#ask(ops, engine.recheck);
  }

  async #isWaitedFor(ops: ReadonlySet<string>): Promise<boolean> {
    const { tasks, ops: loads } = await this.#options.engine.stats();
    return tasks.delayed > 0 || loads.some(({ op, queued }) => queued > 0 && ops.has(op));
  }

  async #ask(ops: ReadonlySet<string>, recheck: NonNullable<Engine["recheck"]>): Promise<void> {
    const { dispatcher, clock } = this.#options;
    const { handedOut } = dispatcher;
    const { found, startable, knew } = await recheck(ops, clock.now());
    if (found > 0) this.#report(`${found} tasks that were due stood in no queue`, knew);
    // The second time in a row: the first may have come between a task and its lease.
    else if (startable > 0 && this.#handedOut === handedOut) {
      this.#report(`of ${startable} tasks at the head of a queue none was handed out`, knew);
    }
    this.#handedOut = startable > 0 ? handedOut : undefined;
    if (startable > 0) this.#askAt = this.#looks + IDLE_LOOKS;
    if (found + startable > 0) dispatcher.kick();
  }

  #report(what: string, knew: string): void {
    const { log, metrics, dispatcher } = this.#options;
    const runners = dispatcher.runners.map(({ pid, room, held, ops, accepts }) =>
      `${pid} (room ${room}, holds ${held}, ${ops.size} ops${accepts ? "" : ", accepts nothing"})`
    );
    metrics.standstills++;
    const message = `${what}, beside an idle worker, for ${this.#looks} s`;
    metrics.notices.set("standstill", {
      message: `${message}; they were put right`,
      cure: "this is a fault of sd: please report it with the log of the server",
    });
    log.error(
      "watchdog",
      `${message}: a fault of sd, put right now. The engine knew: ${knew}. Worker processes: ${
        runners.join("; ")
      }`,
    );
  }
}
