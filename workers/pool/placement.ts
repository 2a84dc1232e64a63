/**
 * Decides which worker is replaced by one of another profile. An idle worker is replaced at once. If none is idle, and
 * tasks wait for a profile without a worker, all workers get no further tasks, and the first idle one is replaced.
 * So no profile waits for ever, and a profile keeps its worker while it is in use. `Pool` asks.
 */

import type { Backlogs } from "./backlogs.ts";
import type { Profile } from "./profile.ts";

/** Longest wait for a worker of a profile before busy workers make room, in ms. */
const PATIENCE_MS = 50;

/** A worker's thread, as far as the placement reads it. */
export interface Seat {
  readonly profile: Profile;
  readonly isReady: boolean;
  /** It has no task, and can get one. */
  readonly isIdle: boolean;
  /** It has run a task. */
  readonly isUsed: boolean;
}

export class Placement {
  readonly #backlogs: Backlogs;
  readonly #owed = new Set<Profile>();

  constructor(backlogs: Backlogs) {
    this.#backlogs = backlogs;
  }

  /** A worker must make room: workers get no tasks beyond the ones they hold. */
  get isOwing(): boolean {
    return this.#owed.size > 0;
  }

  /** Checks whether tasks have waited too long for a worker of their profile. */
  look(seats: readonly Seat[], now: number): void {
    this.#owed.clear();
    for (const [profile, since] of this.#backlogs.waiting()) {
      const isServed = seats.some((seat) => seat.profile === profile);
      if (!isServed && now - since >= PATIENCE_MS) this.#owed.add(profile);
    }
  }

  /** The next worker to replace now, and the profile of the new one. */
  next<S extends Seat>(seats: readonly S[]): { seat: S; profile: Profile } | undefined {
    for (const [profile] of this.#backlogs.waiting()) {
      // A worker of the profile loads, or is idle.
      if (seats.some((seat) => seat.profile === profile && (!seat.isReady || seat.isIdle))) {
        continue;
      }
      const seat = seats.find((seat) =>
        seat.isIdle && seat.profile !== profile &&
        // A worker that was started for waiting tasks first runs some of them, or none would ever run.
        (this.#owed.has(profile) && seat.isUsed || this.#backlogs.sizeOf(seat.profile) === 0)
      );
      if (!seat) continue;
      this.#owed.delete(profile);
      return { seat, profile };
    }
    return undefined;
  }
}
