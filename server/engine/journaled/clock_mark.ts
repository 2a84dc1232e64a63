/**
 * Keeps the latest time that a server gave to what is in the file, so that the next one goes on from there where its wall
 * clock is behind: otherwise the rest of every delay would be longer by the difference. It is written along with what is
 * committed anyway, and now and then while tasks wait for their time.
 */

import { SdError } from "../../../protocol/errors.ts";

/** The name of the setting; its value is a number, ms since 1970. */
const NAME = "clock";
/** Longest time by which the mark is behind what is committed, in ms. */
const BUSY_MS = 1000;
/** The same while nothing is committed, and tasks wait for their time. */
const IDLE_MS = 30_000;

/** The end of the year 9999: a later mark is no time. */
const MAX_MARK_MS = 253_402_300_799_999;

type Setting = readonly [name: string, value: string];

export class ClockMark {
  readonly #save: (name: string, value: string) => Promise<void>;
  #markedAt = 0;

  /** `save` rejects if the mark could not be committed. */
  constructor(save: (name: string, value: string) => Promise<void>) {
    this.#save = save;
  }

  /** What to commit along with what is to be committed at `now`. */
  along(now: number, needed = false): Setting | undefined {
    return this.#after(needed ? -Infinity : BUSY_MS, now);
  }

  /** Commits it while nothing else is to be committed. */
  alone(now: number): void {
    this.#keep(this.#after(IDLE_MS, now));
  }

  /** Commits it at the end. */
  last(now: number): void {
    this.#keep(this.#after(1, now));
  }

  /** A mark that finds no room is not missed: a later one goes along with the next commit. */
  #keep(mark: Setting | undefined): void {
    if (!mark) return;
    this.#save(...mark).catch((error) => {
      if (!(error instanceof SdError)) throw error;
    });
  }

  #after(ms: number, now: number): Setting | undefined {
    if (now < this.#markedAt + ms) return undefined;
    this.#markedAt = now;
    return [NAME, String(now)];
  }
}

/** The mark in the settings of a file; 0 if there is none, or none that can be right. */
export function markIn(settings: readonly Setting[]): number {
  const ms = Number(settings.find(([name]) => name === NAME)?.[1] ?? 0);
  return Number.isSafeInteger(ms) && ms <= MAX_MARK_MS ? ms : 0;
}
