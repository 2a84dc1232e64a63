/** Which worker gets the next tasks, and from which one they are fetched back. Pure: what they do is the pool's. */

import { awake } from "../../net/awake_clock.ts";
import type { Backlogs } from "./backlogs.ts";
import { FETCH_MICROS, loadOf, shareOf, WAKE_MICROS } from "./pace.ts";
import type { Thread } from "./thread.ts";
import { microsOf } from "./thread_watch.ts";

export interface Choice {
  readonly thread: Thread;
  /** How many tasks to give it. */
  readonly share: number;
}

/** The thread to give tasks of `backlogs` to next. With `onlyIdle`, none gets anything beyond what it has. */
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
    // One that is awake and will be done in no time goes before one that would have to wake up.
    const rank = held > 0 && load < WAKE_MICROS ? -1 : load;
    if (rank < bestRank) {
      best = { thread, share };
      bestRank = rank;
    }
  }
  return best;
}

/** The thread behind whose running task the most work waits, where that is worth to be fetched. */
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
