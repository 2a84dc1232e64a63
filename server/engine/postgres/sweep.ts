/**
 * Drops records of final tasks of a PostgreSQL engine that were kept long enough, or of which there are too many: some at a
 * time, the oldest first. A slice of which next to nothing is left is dropped whole; what is left of it is moved before.
 */

import { DEFAULT_RULES } from "../../task/new_task.ts";
import {
  type HeldRecords,
  type RecordSweeper,
  STORED_STATUSES,
  StoreError,
} from "../journaled/task_store.ts";
import { named } from "./schema.ts";
import { FINAL_FROM, type PostgresStore } from "./store.ts";

interface SliceSweeperOptions {
  readonly store: Pick<PostgresStore, "look" | "drop" | "dropSlice" | "final" | "watchChanges">;
  readonly schema: string;
  /** Most records of final tasks; the oldest are dropped first. */
  readonly maxKept: number;
  /** Called with messages for the operator. */
  readonly report: (message: string) => void;
  /** How long a record without a `keep` of its own stays, in ms. */
  readonly keepMs?: number;
}

/** Most rows of one look, and most records that are dropped by one statement: commits wait meanwhile. */
const SWEEP_ROWS = 2000;
/** Time until a slice that could not be dropped is tried again, in ms: another session reads it. */
const SLICE_AGAIN_MS = 30_000;
/** Longest time between two looks at all records, in ms. */
const MAX_LOOK_MS = 60_000;

/** A row of a look: number, status, and when it can be dropped. */
type Seen = readonly [ord: number, status: number, dropAt: number];

export class SliceSweeper implements RecordSweeper {
  /** The database has no limit that sd knows of. */
  readonly isFull = false;

  readonly #options: SliceSweeperOptions;
  /** Up to this `ord`, every record is dropped, open or held. */
  #lowest = 0;
  /** Up to this `ord`, no record was old. */
  #looked = 0;
  /** No record can be old before. */
  #lookAt = 0;
  /** The earliest time at which a record of this round can be dropped. */
  #roundAt = Infinity;
  /** The place of the look at records with a `drop_at` of their own: held ones must not stop it. */
  #duePlace: readonly [dropAt: number, ord: number] = [0, 0];
  #sliceAt = 0;
  /** The held records, as of this version. */
  #held: ReadonlySet<number> = new Set();
  #version = -1;
  /** An old record was held in the last round: it can go as soon as it is not. */
  #isHeldOld = false;
  /** Why the last sweep failed. */
  #fault: string | undefined;

  constructor(options: SliceSweeperOptions) {
    this.#options = options;
  }

  async sweep(now: number, held: HeldRecords): ReturnType<RecordSweeper["sweep"]> {
    try {
      const swept = await this.#sweep(now, this.#heldNow(held));
      this.#fault = undefined;
      return swept;
    } catch (error) {
      const isPassing = error instanceof StoreError &&
        ["full", "io", "fenced"].includes(error.fault);
      if (!isPassing) throw error;
      if (error.message !== this.#fault) {
        this.#options.report(`old records cannot be dropped: ${error.message}`);
      }
      this.#fault = error.message;
      return { removed: [], more: false };
    }
  }

  #heldNow({ version, ords }: HeldRecords): ReadonlySet<number> {
    if (version !== this.#version) {
      this.#version = version;
      this.#held = new Set(ords());
      if (this.#isHeldOld) this.#lookAt = 0;
    }
    return this.#held;
  }

  async #sweep(now: number, held: ReadonlySet<number>): ReturnType<RecordSweeper["sweep"]> {
    const { store, maxKept } = this.#options;
    const changed = store.watchChanges();
    const drops = new Map<number, number>();
    const add = (rows: readonly Seen[]) => {
      for (const [ord, status] of rows) drops.set(ord, status);
    };
    const canGo = ([ord, status]: Seen) => status >= FINAL_FROM && !held.has(ord);
    let more = await this.#due(now, (rows) => add(rows.filter(canGo)));
    const excess = (store.final ?? 0) - drops.size - maxKept;
    if (excess > 0) more = await this.#oldest(excess, canGo, add) || more;
    if (now >= this.#lookAt) {
      const old = (row: Seen) => canGo(row) && row[2] <= now;
      more = await this.#round(now, (rows) => add(rows.filter(old))) || more;
    }
    // They were final when they were seen; a retry can have opened them since.
    for (const ord of changed) drops.delete(ord);
    const removed = STORED_STATUSES.map(() => 0);
    if (drops.size > 0) {
      await store.drop([...drops.keys()]);
      for (const status of drops.values()) removed[status]!++;
    } else if (now >= this.#sliceAt) {
      more = await this.#dropSlice(now) || more;
    }
    return { removed, more };
  }

  /** Records with a `keep` of their own that is over; whether there are more. */
  async #due(now: number, found: (rows: readonly Seen[]) => void): Promise<boolean> {
    const rows = await this.#look(
      `where drop_at is not null and (drop_at, ord) > ($3::bigint, $4::bigint) and drop_at <= $5::bigint
        order by drop_at, ord`,
      [...this.#duePlace, now],
    );
    found(rows);
    const last = rows.at(-1);
    const more = rows.length === SWEEP_ROWS && last !== undefined;
    this.#duePlace = more ? [last[2], last[0]] : [0, 0];
    return more;
  }

  /** The oldest `excess` records that can go; whether there are more. */
  async #oldest(
    excess: number,
    canGo: (row: Seen) => boolean,
    found: (rows: readonly Seen[]) => void,
  ): Promise<boolean> {
    const rows = await this.#look("where ord > $3::bigint order by ord", [this.#lowest]);
    const going = rows.filter(canGo).slice(0, excess);
    found(going);
    if (going.length === excess) {
      this.#lowest = going.at(-1)![0];
      return false;
    }
    const isEnd = rows.length < SWEEP_ROWS;
    // After the end, it begins again at the first: some can go now that could not before.
    const more = !isEnd || this.#lowest > 0;
    this.#lowest = isEnd ? 0 : rows.at(-1)![0];
    return more;
  }

  /** The next records of a round over all of them; whether to go on at once. */
  async #round(now: number, found: (rows: readonly Seen[]) => void): Promise<boolean> {
    const { keepMs = DEFAULT_RULES.keepMs } = this.#options;
    const rows = await this.#look("where ord > $3::bigint order by ord", [this.#looked]);
    found(rows);
    if (this.#looked === 0) this.#isHeldOld = false;
    for (const [ord, status, dropAt] of rows) {
      if (status < FINAL_FROM) continue;
      if (dropAt > now) this.#roundAt = Math.min(this.#roundAt, dropAt);
      else if (this.#held.has(ord)) this.#isHeldOld = true;
    }
    const isEnd = rows.length < SWEEP_ROWS;
    this.#looked = isEnd ? 0 : rows.at(-1)![0];
    if (isEnd) {
      // Tasks that end from now on stay for `keepMs`.
      this.#lookAt = Math.min(
        Math.max(Math.min(this.#roundAt, now + keepMs), now + 1000),
        now + MAX_LOOK_MS,
      );
      this.#roundAt = Infinity;
    }
    return !isEnd && rows.some(([, status, dropAt]) => status >= FINAL_FROM && dropAt <= now);
  }

  async #look(where: string, values: readonly number[]): Promise<readonly Seen[]> {
    const { store, schema, keepMs = DEFAULT_RULES.keepMs } = this.#options;
    const text = `select ord, status, coalesce(drop_at, finished_at + $1::bigint)
      from ${named(schema, "task")} ${where} limit $2::bigint`;
    const rows = await store.look({ text, values: [keepMs, SWEEP_ROWS, ...values], array: true });
    return rows as unknown as readonly Seen[];
  }

  async #dropSlice(now: number): Promise<boolean> {
    try {
      return await this.#options.store.dropSlice();
    } catch (error) {
      if (!(error instanceof StoreError) || error.fault !== "io") throw error;
      this.#sliceAt = now + SLICE_AGAIN_MS;
      return false;
    }
  }
}
