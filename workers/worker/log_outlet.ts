/**
 * Sends log entries out of the worker, within a limit. An entry leaves at once through the log ring, unless the worker
 * has sent too much lately. Further entries wait here, and leave when the limit allows it or the task ends. If too many
 * wait, the oldest are dropped; their number is sent with the next entry. `TaskLoop` uses it.
 */

import { MAX_LOG_CHARS, MAX_LOG_ENTRIES } from "../../protocol/limits.ts";
import type { LogLevel } from "../../protocol/task.ts";
import type { LogRing } from "../bridge/ring_area.ts";
import { max, min, now, stringify, wallClock } from "../primordials.ts";

/** Cost of an entry beside its characters: an empty one takes the server as long as this number of characters. */
const ENTRY_COST = 100;
/** Most cost that a worker sends at once, */
const BURST = 128 * 1024;
/** and the cost for each ms after that. */
const COST_PER_MS = 256 * 1024 / 1000;
/** Least cost that a task may send at its end; usually another burst. */
const LAST_COST = 4096;
/** Most characters in one line of entries that have waited. */
const LINE_CHARS = 8192;

/** A waiting entry in JSON, and the number of characters of its text. */
interface Slot {
  json: string;
  chars: number;
}

interface LogOutletOptions {
  readonly area: Pick<LogRing, "write">;
  /** Sends a line that does not fit into the ring. */
  readonly send: (line: string) => void;
}

export class LogOutlet {
  readonly #options: LogOutletOptions;
  /** A ring: `#count` entries from `#first` on. Made before any task runs, so that no setter of a task is called. */
  readonly #slots = newSlots();
  #first = 0;
  #count = 0;
  #chars = 0;
  /** Entries dropped since the last line. */
  #dropped = 0;
  /** The cost that can be sent now. */
  #budget = BURST;
  #budgetAt = now();

  constructor(options: LogOutletOptions) {
    this.#options = options;
  }

  /** Whether entries wait here. */
  get hasRest(): boolean {
    return this.#count > 0;
  }

  /** Takes an entry of the running task. `text` must not be longer than the limit for an entry. */
  say(lease: number, level: LogLevel, text: string): void {
    this.#keep(`[${wallClock()},"${level}",${stringify(text)}]`, text.length);
    this.flush(lease);
  }

  /** Sends the waiting entries, if the limit allows all of them. */
  flush(lease: number): void {
    if (!this.#mayCost(this.#cost())) return;
    while (this.#count > 0 && this.#writeSome(lease));
  }

  /** The task ends: sends the newest waiting entries. */
  finish(lease: number): void {
    if (this.#count === 0) return;
    this.#refill();
    const most = max(LAST_COST, this.#budget + BURST);
    while (this.#count > 1 && this.#cost() > most) this.#drop();
    while (this.#count > 0 && this.#writeSome(lease));
    if (this.#count === 0) return;
    this.#options.send(lineOf(lease, this.#entries(this.#count), this.#dropped));
    this.#left(this.#count);
  }

  /** Writes a line with the oldest waiting entries; false if it does not fit. */
  #writeSome(lease: number): boolean {
    let count = 1;
    for (let chars = this.#at(0).chars; count < this.#count; count++) {
      chars += this.#at(count).chars;
      if (chars > LINE_CHARS) break;
    }
    const line = lineOf(lease, this.#entries(count), this.#dropped);
    if (!this.#options.area.write(line)) return false;
    this.#left(count);
    return true;
  }

  #entries(count: number): string {
    let entries = this.#at(0).json;
    for (let i = 1; i < count; i++) entries += `,${this.#at(i).json}`;
    return entries;
  }

  #left(count: number): void {
    const before = this.#cost();
    for (let i = 0; i < count; i++) this.#take();
    this.#budget -= before - this.#cost();
    this.#dropped = 0;
  }

  /** The cost of all waiting entries. */
  #cost(): number {
    return this.#chars + this.#count * ENTRY_COST;
  }

  #mayCost(cost: number): boolean {
    if (this.#budget >= cost) return true;
    this.#refill();
    return this.#budget >= cost;
  }

  #refill(): void {
    const clock = now();
    this.#budget = min(BURST, this.#budget + (clock - this.#budgetAt) * COST_PER_MS);
    this.#budgetAt = clock;
  }

  #keep(json: string, chars: number): void {
    if (this.#count === MAX_LOG_ENTRIES) this.#drop();
    const slot = this.#at(this.#count);
    slot.json = json;
    slot.chars = chars;
    this.#count++;
    this.#chars += chars;
    while (this.#chars > MAX_LOG_CHARS) this.#drop();
  }

  #drop(): void {
    this.#take();
    this.#dropped++;
  }

  /** Removes the oldest entry. */
  #take(): void {
    const slot = this.#at(0);
    this.#chars -= slot.chars;
    slot.json = "";
    this.#first = (this.#first + 1) % MAX_LOG_ENTRIES;
    this.#count--;
  }

  #at(i: number): Slot {
    return this.#slots[(this.#first + i) % MAX_LOG_ENTRIES]!;
  }
}

function newSlots(): Slot[] {
  return Array.from({ length: MAX_LOG_ENTRIES }, () => ({ json: "", chars: 0 }));
}

/** A report of the work link. */
function lineOf(lease: number, entries: string, dropped: number): string {
  return `{"lease":${lease},"log":[${entries}]${dropped > 0 ? `,"dropped":${dropped}` : ""}}`;
}
