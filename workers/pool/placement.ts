/**
 * Which worker gives way to one of another profile. An idle one does at once; where none is idle and tasks of
 * a profile wait that no worker has, all workers finish what they have in hand, and the first to do so is
 * replaced. So no profile waits for ever, and a profile that has a worker keeps it while it is in use.
 */

import type { Backlogs } from "./backlogs.ts";
import type { Profile } from "./profile.ts";

/** So long tasks wait for a worker of their profile before busy ones make room. */
const PATIENCE_MS = 50;

/** What is asked of a worker's thread. */
export interface Seat {
  readonly profile: Profile;
  readonly isReady: boolean;
  /** Has nothing to do, and may be given something. */
  readonly isIdle: boolean;
  /** Has run a task. */
  readonly isUsed: boolean;
}

export class Placement {
  readonly #backlogs: Backlogs;
  readonly #owed = new Set<Profile>();

  constructor(backlogs: Backlogs) {
    this.#backlogs = backlogs;
  }

  /** Workers shall be given nothing beyond what they have: one of them is to make room. */
  get isOwing(): boolean {
    return this.#owed.size > 0;
  }

  /** Looks whether tasks have waited too long for a worker of their profile. */
  look(seats: readonly Seat[], now: number): void {
    this.#owed.clear();
    for (const [profile, since] of this.#backlogs.waiting()) {
      const isServed = seats.some((seat) => seat.profile === profile);
      if (!isServed && now - since >= PATIENCE_MS) this.#owed.add(profile);
    }
  }

  /** A worker to replace now by one of another profile. */
  next<S extends Seat>(seats: readonly S[]): { seat: S; profile: Profile } | undefined {
    for (const [profile] of this.#backlogs.waiting()) {
      // One is on its way, or has room.
      if (seats.some((seat) => seat.profile === profile && (!seat.isReady || seat.isIdle))) {
        continue;
      }
      const seat = seats.find((seat) =>
        seat.isIdle && seat.profile !== profile &&
        // One that was started for tasks that wait does some of them first, or none would ever be done.
        (this.#owed.has(profile) && seat.isUsed || this.#backlogs.sizeOf(seat.profile) === 0)
      );
      if (!seat) continue;
      this.#owed.delete(profile);
      return { seat, profile };
    }
    return undefined;
  }
}
