/**
 * Keeps the lead of this server: renews its lease, and says when it may no longer decide. The deadline is counted from
 * before a renewal was sent, so it comes before the lease ends in the store. It has a timer of its own: a renewal that hangs
 * cannot hide it. A process that was stopped, or whose machine slept, finds its deadline passed at the first look, before
 * any timer has fired: `isHeld` is that look. The member makes one for each lead.
 */

import { type Lead, LEASE_MS, RENEW_MS, SAFETY_MS } from "../engine/journaled/shared_store.ts";

/** Pause after a renewal that failed, in ms. */
const RETRY_MS = 250;
/** A smaller difference of the two clocks of a machine is drift, in ms. */
const DRIFT_MS = 250;

interface LeaseKeeperOptions {
  readonly lead: Pick<Lead, "renew">;
  /** Time that has passed, also while the process was stopped, in ms from an arbitrary start. It never goes back. */
  readonly now: () => number;
  /** Calls `run` once, `ms` from now; the returned function cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** Called once, when the lead has ended. */
  readonly onLost: (reason: string) => void;
  readonly warn: (message: string) => void;
}

export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  /** Deciding ends then. `-Infinity`: no renewal has succeeded yet, or the lead has ended. */
  #deadline = -Infinity;
  #isOver = false;
  #hasWarned = false;
  #forgetDeadline = () => {};
  #forgetRenewal = () => {};

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Whether this server may decide, answer and start tasks now. */
  isHeld(): boolean {
    if (this.#isOver) return false;
    if (this.#options.now() < this.#deadline) return true;
    // Before the first renewal nothing is decided, and nothing is lost.
    if (this.#deadline !== -Infinity) this.#lose("its lease was not renewed in time");
    return false;
  }

  /**
   * Renews once, since it is unknown how long ago the lead was won, and goes on until `stop`. Resolves with whether this
   * server leads.
   */
  async start(): Promise<boolean> {
    const { after } = this.#options;
    const late = Promise.withResolvers<void>();
    // A renewal that hangs is no lead.
    this.#forgetDeadline = after(LEASE_MS - SAFETY_MS, late.resolve);
    const pause = () => new Promise<void>((resolve) => void after(RETRY_MS, resolve));
    let isLate = false;
    void late.promise.then(() => isLate = true);
    while (!this.#isOver && !isLate && !this.isHeld()) {
      await Promise.race([this.#renew(), late.promise]);
      if (!this.isHeld() && !this.#isOver && !isLate) await pause();
    }
    if (this.isHeld()) this.#plan(RENEW_MS);
    else this.#lose("its lease could not be renewed");
    return this.isHeld();
  }

  /** Ends the lead for a reason that came from elsewhere. */
  end(reason: string): void {
    this.#lose(reason);
  }

  /** Ends the renewals: the lead is resigned, or lost. Twice is once. */
  stop(): void {
    this.#isOver = true;
    this.#forgetDeadline();
    this.#forgetRenewal();
  }

  #plan(ms: number): void {
    this.#forgetRenewal = this.#options.after(ms, async () => {
      await this.#renew();
      if (this.isHeld()) this.#plan(this.#hasWarned ? RETRY_MS : RENEW_MS);
    });
  }

  async #renew(): Promise<void> {
    const { lead, now, warn } = this.#options;
    const sentAt = now();
    try {
      const isRenewed = await lead.renew();
      if (this.#isOver) return;
      if (!isRenewed) return this.#lose("another server leads");
      // An answer that came after the deadline is too late: others may have decided meanwhile.
      if (this.#deadline !== -Infinity && !this.isHeld()) return;
      this.#deadline = Math.max(this.#deadline, sentAt + LEASE_MS - SAFETY_MS);
      this.#watchDeadline();
      this.#hasWarned = false;
    } catch (error) {
      if (this.#isOver) return;
      if (!this.#hasWarned) warn(`cannot renew the lead: ${faultText(error)}; trying again`);
      this.#hasWarned = true;
    }
  }

  #watchDeadline(): void {
    const { now, after } = this.#options;
    this.#forgetDeadline();
    this.#forgetDeadline = after(Math.max(0, this.#deadline - now()), () => {
      // A timer can fire a moment early.
      if (this.isHeld()) this.#watchDeadline();
    });
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.stop();
    this.#options.onLost(reason);
  }
}

/** The message of an error, for the log. */
export function faultText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * A clock of the time that has passed, in ms from an arbitrary start, also while the process was stopped or its machine
 * slept. The monotonic clock can stand still in a sleep, so the wall clock counts if it has gone further. A wall clock that
 * is set ahead thus counts as time, which can only end a lead too early.
 */
export class PassedTime {
  readonly #wall: () => number;
  readonly #monotonic: () => number;
  /** How far the wall clock is ahead of the monotonic one, as it was before the last sleep or setting. */
  #ahead: number;
  #sleptMs = 0;

  constructor({ wall = () => Date.now(), monotonic = () => performance.now() } = {}) {
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#ahead = wall() - monotonic();
  }

  now(): number {
    const monotonic = this.#monotonic();
    const ahead = this.#wall() - monotonic;
    if (Math.abs(ahead - this.#ahead) > DRIFT_MS) {
      this.#sleptMs += Math.max(0, ahead - this.#ahead);
      this.#ahead = ahead;
    }
    return monotonic + this.#sleptMs;
  }
}
