/**
 * How many tasks travel at a time, and to which worker. Quick tasks travel in large batches, so that a message costs
 * little for each; slow ones travel one by one, so that none waits behind another while a worker is free. Nothing
 * here has a state: run times in, numbers and choices out. `Pool` acts on them.
 */

import { awake } from "../../net/awake_clock.ts";
import { MAX_CREDIT } from "../../protocol/limits.ts";
import type { Backlogs } from "./backlogs.ts";
import type { Thread } from "./thread.ts";

/** Most work that a worker holds in one batch, in µs: the longest wait of a task for the tasks before it. */
const BATCH_MICROS = 2000;
export const MAX_DEPTH = 128;
/** Least work for which a second worker is woken up, in µs. */
export const WAKE_MICROS = 100;
/** Run time beyond which a worker holds no task besides the one that it runs, in µs. */
const AHEAD_MICROS = 25_000;
/** Least waiting work that an idle worker takes from a busy one, in µs. */
const FETCH_MICROS = 1000;
/** Shortest run that counts as long, in ms, unless the worker's tasks all take longer. */
const LONG_MS = 10;
/** Longest delay of a worker before its tasks count as slower than they were, in µs. */
const LATE_MICROS = 1000;
/** Assumed run time of a task before the first result, in µs. */
export const UNKNOWN_MICROS = 2000;
/** Smallest part of the credit whose change is worth a message. */
const WORTH_REPORTING = 1 / 8;

/** Average run time of a task on `thread`, in µs. */
export function microsOf(thread: Thread): number {
  return thread.row.micros || UNKNOWN_MICROS;
}

/** Most tasks in one message to a worker whose tasks take `micros` each. */
export function depthOf(micros: number): number {
  return Math.max(1, Math.min(MAX_DEPTH, Math.floor(BATCH_MICROS / micros)));
}

/** Most tasks that such a worker holds: while it runs one batch, the next one waits there already. */
export function capacityOf(micros: number): number {
  return micros > AHEAD_MICROS ? 1 : 2 * depthOf(micros);
}

/** How long a task may run before the tasks posted behind it move to another worker, in ms. */
export function patienceOf(micros: number): number {
  return Math.max(LONG_MS, 2 * micros / 1000);
}

/** Number of tasks to give now to a worker that holds `held`, out of `waiting` ones. */
export function shareOf({ micros, held, waiting }: {
  micros: number;
  held: number;
  waiting: number;
}): number {
  const depth = depthOf(micros);
  // It holds more than a batch: a whole batch later costs less than a few tasks now.
  if (held > depth) return 0;
  const room = Math.min(capacityOf(micros) - held, depth, waiting);
  const load = held * micros;
  if (load >= WAKE_MICROS) return room;
  return Math.min(room, Math.ceil((WAKE_MICROS - load) / micros));
}

/**
 * Work that a worker has before it with `held` tasks, in µs. `quietMicros` is the time since its last report: a worker
 * that is late has met a longer task, of unknown length.
 */
export function loadOf({ micros, held, quietMicros }: {
  micros: number;
  held: number;
  quietMicros: number;
}): number {
  const load = held * micros;
  return held > 0 && quietMicros > load + LATE_MICROS ? quietMicros : load;
}

/**
 * Most tasks that a pool holds, for the run times of its workers in µs. With quick tasks the pipeline to the server is
 * kept full; with slow tasks the pool holds only as many as its workers.
 */
export function creditFor(workersMicros: readonly number[]): number {
  let credit = 0;
  for (const micros of workersMicros) {
    const capacity = capacityOf(micros);
    credit += depthOf(micros) === 1 ? capacity : 2 * capacity;
  }
  return Math.min(MAX_CREDIT, credit);
}

/** Whether the change from the credit `reported` to `next` is worth a message. */
export function isWorthReporting(reported: number, next: number): boolean {
  return Math.abs(next - reported) >= Math.max(1, reported * WORTH_REPORTING);
}

interface Choice {
  readonly thread: Thread;
  /** Number of tasks to give it. */
  readonly share: number;
}

/** The thread that gets tasks of `backlogs` next. With `onlyIdle`, a thread that holds tasks gets no more. */
export function chooseThread(
  threads: readonly Thread[],
  backlogs: Backlogs,
  onlyIdle: boolean,
): Choice | undefined {
  let best: Choice | undefined;
  let bestRank = Infinity;
  const now = awake.now();
  for (const thread of threads) {
    if (!thread.accepts) continue;
    const waiting = backlogs.sizeOf(thread.profile);
    const micros = microsOf(thread);
    const held = thread.posted.length;
    if (waiting === 0 || held > 0 && onlyIdle) continue;
    const share = thread.profile.isolate ? 1 : shareOf({ micros, held, waiting });
    if (share <= 0) continue;
    const load = loadOf({ micros, held, quietMicros: (now - thread.movedAt) * 1000 });
    // A thread that is awake and nearly done goes before one that must wake up.
    const rank = held > 0 && load < WAKE_MICROS ? -1 : load;
    if (rank < bestRank) {
      best = { thread, share };
      bestRank = rank;
    }
  }
  return best;
}

/** The thread with the most work waiting behind its running task, if that work is worth taking back. */
export function busiestThread(threads: readonly Thread[]): Thread | undefined {
  let busiest: Thread | undefined;
  let most = FETCH_MICROS;
  for (const thread of threads) {
    const waiting = (thread.posted.length - 1) * microsOf(thread);
    if (waiting < most) continue;
    busiest = thread;
    most = waiting;
  }
  return busiest;
}
