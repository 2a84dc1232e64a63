/**
 * Drops records of final tasks, a slice of numbers at a time, so that neither their number nor the memory of Redis grows
 * beyond its limit. It remembers for each slice when the next record there can be dropped, so it looks at a slice
 * about once in the time that records are kept.
 */

import { DEFAULT_RULES } from "../../task/new_task.ts";
import {
  type HeldRecords,
  type RecordSweeper,
  STORED_STATUSES,
  StoreError,
} from "../journaled/task_store.ts";
import { infoOf } from "./connection.ts";
import { SWEEP } from "./script.ts";
import type { RedisStore } from "./store.ts";
import { padded, SLICE_ROWS } from "./write_plan.ts";

/** Most scripts of one sweep: other requests pass between them. */
const MAX_STEPS = 6;
/** Most rows with a time of their own in one script. */
const DUE_ROWS = 1000;
/** Most records that one sweep drops because there are too many. */
const MAX_EXCESS = 5000;
/** Most slices whose times are compared in one step. */
const MAX_SLICES = 10_000;
/** Share of the memory above which records are dropped, the oldest first, */
const DROP_SHARE = 0.85;
/** and above which new tasks are refused, so that results can still be kept. */
const FULL_SHARE = 0.95;

interface RedisSweeperOptions {
  readonly store: RedisStore;
  readonly prefix: string;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept: number;
  /** Called with messages for the operator. */
  readonly report: (message: string) => void;
}

interface Step {
  readonly next: string;
  readonly soonest: number;
  readonly removed: readonly number[];
}

export class RedisSweeper implements RecordSweeper {
  readonly #options: RedisSweeperOptions;
  #isFull = false;
  #fault: string | undefined;
  /** Slice → the time from which a record there can be dropped. */
  readonly #quietUntil = new Map<number, number>();
  /** Behind this `ord` the look for old records goes on, */
  #looked = -1;
  /** behind this one the drop of the oldest, if there are too many, */
  #lowest = -1;
  /** and behind this member the look at records with a time of their own. */
  #due = "";
  #held = new Map<number, number[]>();
  #heldVersion = -1;
  #hasWarned = false;

  constructor(options: RedisSweeperOptions) {
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  async sweep(now: number, held: HeldRecords): ReturnType<RecordSweeper["sweep"]> {
    try {
      const swept = await this.#sweep(now, held);
      this.#fault = undefined;
      return swept;
    } catch (error) {
      const isPassing = error instanceof StoreError &&
        (error.fault === "full" || error.fault === "io");
      if (!isPassing) throw error;
      if (error.message !== this.#fault) {
        this.#options.report(`old records cannot be dropped: ${error.message}`);
      }
      this.#fault = error.message;
      return { removed: [], more: false };
    }
  }

  async #sweep(now: number, held: HeldRecords): ReturnType<RecordSweeper["sweep"]> {
    this.#hold(held);
    const share = await this.#memoryShare();
    const removed = STORED_STATUSES.map(() => 0);
    const take = (step: Step) => step.removed.forEach((rows, status) => removed[status]! += rows);
    let excess = Math.min(this.#excess(share), MAX_EXCESS);
    const due = await this.#sweepDue(now);
    this.#due = due.next;
    take(due);
    excess -= sum(due.removed);
    let isEnded = false;
    for (let steps = 1; steps < MAX_STEPS && !isEnded; steps++) {
      const step = await this.#sweepSlice(now, Math.max(0, excess));
      isEnded = step === undefined;
      if (!step) break;
      take(step);
      excess -= sum(step.removed);
    }
    const dropped = sum(removed);
    this.#isFull = share > FULL_SHARE && dropped === 0;
    return { removed, more: due.next !== "" || (dropped > 0 && !isEnded) };
  }

  async #sweepDue(now: number): Promise<Step> {
    const { store, prefix } = this.#options;
    const from = this.#due === "" ? "-" : `(${this.#due}`;
    const found = await store.command(
      ["ZRANGE", `${prefix}drop`, from, `(${padded(now + 1)}`, "BYLEX", "LIMIT", 0, DUE_ROWS],
    ) as string[];
    if (found.length === 0) return { next: "", soonest: Infinity, removed: [] };
    // There can be many held records, so only the ones that are due are sent.
    const held = found.map((member) => Number(member.slice(16)))
      .filter((ord) => this.#held.get(Math.floor(ord / SLICE_ROWS))?.includes(ord));
    return await this.#step(now, 0, "due", this.#due, held);
  }

  /** Sweeps the next slice that can have a record to drop; resolves with nothing at the end of them. */
  async #sweepSlice(now: number, excess: number): Promise<Step | undefined> {
    const isTooMuch = excess > 0;
    const last = isTooMuch ? this.#lowest : this.#looked;
    const place = await this.#nextPlace(now, last, isTooMuch);
    const goOn = (ord: number) => {
      if (isTooMuch) this.#lowest = ord;
      else this.#looked = ord;
    };
    if (place === undefined) {
      goOn(-1);
      return undefined;
    }
    const slice = Math.floor((place + 1) / SLICE_ROWS);
    const held = this.#held.get(slice) ?? [];
    const step = await this.#step(now, excess, "slice", String(place), held);
    const isWhole = step.next === "" && (place + 1) % SLICE_ROWS === 0;
    if (isWhole) this.#quietUntil.set(slice, step.soonest);
    goOn(step.next === "" ? (slice + 1) * SLICE_ROWS - 1 : Number(step.next));
    return step;
  }

  async #step(
    now: number,
    excess: number,
    source: "due" | "slice",
    place: string,
    held: readonly number[],
  ): Promise<Step> {
    const reply = await this.#options.store.run(SWEEP, [
      now,
      DEFAULT_RULES.keepMs,
      excess,
      DUE_ROWS,
      source,
      place,
      ...held,
    ]) as [string, string, ...number[]];
    const [next, soonest, ...removed] = reply;
    this.#options.store.dropped(removed);
    return { next, soonest: Number(soonest), removed };
  }

  /** Behind which `ord` the next slice to sweep goes on: `last`, if that is inside of one. */
  async #nextPlace(now: number, last: number, isTooMuch: boolean): Promise<number | undefined> {
    const { store, prefix } = this.#options;
    const first = Math.floor((last + 1) / SLICE_ROWS);
    const found = await store.command(
      ["ZRANGE", `${prefix}slicez`, first, "+inf", "BYSCORE", "LIMIT", 0, MAX_SLICES],
    ) as string[];
    for (const slice of found.map(Number)) {
      if (isTooMuch || (this.#quietUntil.get(slice) ?? 0) <= now) {
        return Math.max(last, slice * SLICE_ROWS - 1);
      }
    }
    if (found.length === MAX_SLICES) {
      return await this.#nextPlace(now, (Number(found.at(-1)) + 1) * SLICE_ROWS - 1, isTooMuch);
    }
    // It must not grow with slices that are long gone.
    if (this.#quietUntil.size > 100 * MAX_SLICES) this.#quietUntil.clear();
    return undefined;
  }

  #excess(share: number): number {
    const { store, maxKept } = this.#options;
    const byMemory = share > DROP_SHARE ? Math.ceil(store.final * (1 - DROP_SHARE / share)) : 0;
    return Math.max(0, store.final - maxKept, byMemory);
  }

  #hold({ version, ords }: HeldRecords): void {
    if (version === this.#heldVersion) return;
    this.#held = new Map();
    for (const ord of ords()) {
      const slice = Math.floor(ord / SLICE_ROWS);
      const found = this.#held.get(slice);
      if (found) found.push(ord);
      else this.#held.set(slice, [ord]);
    }
    this.#heldVersion = version;
  }

  /** The part of its memory that Redis uses; 0 if it has no limit. */
  async #memoryShare(): Promise<number> {
    const info = await this.#options.store.command(["INFO", "memory"]) as string;
    const most = Number(infoOf(info, "maxmemory") ?? 0);
    const policy = infoOf(info, "maxmemory_policy");
    if (policy !== undefined && policy !== "noeviction" && !this.#hasWarned) {
      this.#hasWarned = true;
      this.#options.report(
        `Redis may now drop tasks: its maxmemory-policy is ${policy}; ` +
          "run: redis-cli CONFIG SET maxmemory-policy noeviction",
      );
    }
    return most === 0 ? 0 : Number(infoOf(info, "used_memory") ?? 0) / most;
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
