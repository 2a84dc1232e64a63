/**
 * Turns a `Write` into the arguments of the script of a commit. A large one becomes several chunks, so that no script keeps
 * Redis from its other clients for long; see `write_script.ts` for how they still count together.
 */

import { type Cell, FIXED_COLUMNS, StoreError, type Write } from "../journaled/task_store.ts";
import { CHANGE_CELLS, laneAt, ROW_CELLS, rowText, stateText, UPDATE_HEAD } from "./row_text.ts";

/** Most tasks, settings and other rows of one chunk, each kind for itself. */
const CHUNK_ROWS = 512;
/** Most characters of a chunk; its first row always comes. */
const CHUNK_CHARS = 4 * 1024 * 1024;
/** Rows whose `ord` differs in the lower bits only are counted together. */
export const SLICE_ROWS = 1024;
/** The lowest index of a final status in `STORED_STATUSES`. */
export const FIRST_FINAL_STATUS = 3;
/** Statuses with an index by `ord`. */
export const INDEXED = [1, 2, 4, 5, 6];
const MAX_ARGUMENTS = 2000;

type Argument = string | number;

/** The bodies of the chunks of a write, and how it changes the number of tasks of each status. */
export interface WritePlan {
  readonly bodies: readonly (readonly Argument[])[];
  readonly counts: readonly number[];
  /** Above every `ord` and `seq`. */
  readonly next: number;
  /** Number of the last row of the outbox. */
  readonly outbox: number;
  /** Above every kind of an attachment. */
  readonly kinds: number;
}

interface PlanStart {
  /** Attachments as they will be: kind, ord, text. */
  readonly attachments: readonly (readonly [kind: number, ord: number, text: string])[];
  readonly next: number;
  readonly outbox: number;
  readonly kinds: number;
}

export function planWrite(write: Write, start: PlanStart): WritePlan {
  const planner = new Planner(start);
  const { inserts, updates, settings, outbox = [], published = [] } = write;
  for (let at = 0; at < inserts.length; at += ROW_CELLS) planner.insert(inserts, at);
  for (let at = 0; at < updates.length; at += CHANGE_CELLS) planner.update(updates, at);
  for (const [kind, ord, text] of start.attachments) planner.attach(kind, ord, text);
  for (const [name, value] of settings) planner.setting(name, value);
  for (const [route, body] of outbox) planner.publish(route, body);
  for (const n of published) planner.published(n);
  return planner.end();
}

/** `HSET` and the like: one command for all rows of a chunk that it concerns. */
class Chunk {
  readonly updates: Argument[] = [];
  readonly #commands = new Map<string, { command: string; key: string; args: Argument[] }>();
  rows = 0;
  chars = 0;

  add(command: string, key: string, ...args: Argument[]): void {
    const name = `${command} ${key}`;
    const found = this.#commands.get(name);
    if (found) { for (const one of args) found.args.push(one); }
    else this.#commands.set(name, { command, key, args });
  }

  get isFull(): boolean {
    return this.rows >= CHUNK_ROWS || this.chars >= CHUNK_CHARS;
  }

  body(): Argument[] {
    const body: Argument[] = [this.updates.length / 5];
    for (const argument of this.updates) body.push(argument);
    const place = body.length;
    body.push(0);
    let commands = 0;
    for (const { command, key, args } of this.#commands.values()) {
      // A range is one command each; all others take any number of pairs.
      const most = command === "ZREMRANGEBYSCORE" || command === "HINCRBY" ? 2 : MAX_ARGUMENTS;
      for (let from = 0; from < args.length; from += most) {
        const part = args.slice(from, from + most);
        body.push(command, key, part.length);
        for (const argument of part) body.push(argument);
        commands++;
      }
    }
    body[place] = commands;
    return body;
  }
}

class Planner {
  readonly #chunks: Chunk[] = [];
  readonly #slices = new Map<number, number>();
  readonly #counts = [0, 0, 0, 0, 0, 0, 0];
  #chunk = new Chunk();
  #next: number;
  #outbox: number;
  #kinds: number;
  readonly #start: PlanStart;

  constructor(start: PlanStart) {
    this.#start = start;
    this.#next = start.next;
    this.#outbox = start.outbox;
    this.#kinds = start.kinds;
  }

  insert(cells: readonly Cell[], at: number): void {
    const state = at + FIXED_COLUMNS.length;
    check(cells, [at, at + 2, at + 7, at + 8, state, state + 1, state + 2, state + 6]);
    const ord = cells[at] as number;
    const status = cells[state] as number;
    const expiresAt = cells[at + 9] as number | null;
    const lane = laneAt(cells, at);
    const row = rowText(cells, at, lane);
    const chunk = this.#room(row.length);
    chunk.add("HSET", "task", ord, row);
    if (cells[at + 2] === 1) chunk.add("HSET", "given", JSON.stringify(cells[at + 1]), ord);
    const place = placeOf(cells, state);
    if (status < FIRST_FINAL_STATUS) {
      chunk.add("HSET", "open", ord, `${status} ${place} ${expiresAt ?? "-"} ${lane}`);
      if (expiresAt !== null) chunk.add("ZADD", "expires", 0, padded(expiresAt) + padded(ord));
    }
    if (status === 0) {
      chunk.add("ZADD", `q:${lane}`, place, ord);
      chunk.add("ZADD", "lanes", cells[at + 7] as number, lane);
    } else if (status === 1) {
      chunk.add("ZADD", "due", 0, padded(place) + padded(ord));
    } else if (status >= FIRST_FINAL_STATUS && cells[state + 7] !== null) {
      chunk.add("ZADD", "drop", 0, padded(cells[state + 7] as number) + padded(ord));
    }
    if (INDEXED.includes(status)) chunk.add("ZADD", `s:${status}`, ord, ord);
    const slice = Math.floor(ord / SLICE_ROWS);
    this.#slices.set(slice, (this.#slices.get(slice) ?? 0) + 1);
    this.#counts[status]! += 1;
    this.#saw(ord);
    this.#saw(cells[state + 1] as number);
  }

  update(cells: readonly Cell[], at: number): void {
    const state = at + UPDATE_HEAD;
    check(cells, [at, at + 1, state, state + 1, state + 2, state + 6]);
    const ord = cells[at] as number;
    const before = cells[at + 1] as number;
    const status = cells[state] as number;
    const text = stateText(cells, state);
    const chunk = this.#room(text.length);
    const dropAt = cells[state + 7] as number | null;
    chunk.updates.push(ord, before, status, placeOf(cells, state), dropAt ?? "-");
    chunk.add("HSET", "state", ord, text);
    this.#counts[before]! -= 1;
    this.#counts[status]! += 1;
    this.#saw(cells[state + 1] as number);
  }

  attach(kind: number, ord: number, text: string): void {
    const stored = JSON.stringify(text);
    this.#kinds = Math.max(this.#kinds, kind + 1);
    this.#room(stored.length).add("HSET", `att:${kind}`, ord, stored);
  }

  setting(name: string, value: string | null): void {
    const chunk = this.#room(name.length + (value?.length ?? 0));
    if (value === null) chunk.add("HDEL", "setting", JSON.stringify(name));
    else chunk.add("HSET", "setting", JSON.stringify(name), JSON.stringify(value));
  }

  publish(route: string, body: string): void {
    const n = ++this.#outbox;
    const stored = `${n}\n${JSON.stringify([route, body])}`;
    this.#room(stored.length).add("ZADD", "outbox", n, stored);
  }

  published(n: number): void {
    this.#room(0).add("ZREMRANGEBYSCORE", "outbox", n, n);
  }

  end(): WritePlan {
    const chunk = this.#chunk;
    for (const [slice, rows] of this.#slices) {
      chunk.add("HINCRBY", "slices", slice, rows);
      chunk.add("ZADD", "slicez", slice, slice);
    }
    this.#counts.forEach((count, status) => {
      if (count !== 0) chunk.add("HINCRBY", "counts", status, count);
    });
    if (this.#next !== this.#start.next) chunk.add("HSET", "counts", "next", this.#next);
    if (this.#outbox !== this.#start.outbox) chunk.add("HSET", "counts", "outbox", this.#outbox);
    if (this.#kinds !== this.#start.kinds) chunk.add("HSET", "counts", "kinds", this.#kinds);
    this.#chunks.push(chunk);
    return {
      bodies: this.#chunks.map((one) => one.body()),
      counts: this.#counts,
      next: this.#next,
      outbox: this.#outbox,
      kinds: this.#kinds,
    };
  }

  /** The chunk with room for another row. */
  #room(chars: number): Chunk {
    if (this.#chunk.isFull) {
      this.#chunks.push(this.#chunk);
      this.#chunk = new Chunk();
    }
    this.#chunk.rows++;
    this.#chunk.chars += chars;
    return this.#chunk;
  }

  #saw(number: number): void {
    if (number >= this.#next) this.#next = number + 1;
  }
}

/** Sixteen digits: the order of such texts is that of the numbers. */
export function padded(number: number): string {
  return String(number).padStart(16, "0");
}

/** The place of a task among others of its status: its turn, or its time. */
function placeOf(cells: readonly Cell[], state: number): number {
  return (cells[state] === 1 ? cells[state + 2] : cells[state + 1]) as number;
}

/** A number that is no safe integer would be another one in Redis. */
function check(cells: readonly Cell[], places: readonly number[]): void {
  for (const place of places) {
    const cell = cells[place];
    if (Number.isSafeInteger(cell) && (cell as number) >= -1_000_000_000) continue;
    throw new StoreError("bug", `a cell of a write is ${cell}, and must be a safe integer`);
  }
}
