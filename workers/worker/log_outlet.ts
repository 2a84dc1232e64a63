/**
 * The way of what a task says out of its worker. An entry leaves at once, through the log area, as long as its
 * worker has not said too much of late; what is too much waits here, the newest of it, and leaves when there is
 * room for it again or the task ends. What falls out meanwhile is counted, and told with the next that leaves.
 */

import { MAX_LOG_CHARS, MAX_LOG_ENTRIES } from "../../protocol/limits.ts";
import type { LogLevel } from "../../protocol/task.ts";
import type { LogWriter } from "../bridge/log_area.ts";
import { max, min, now, stringify, wallClock } from "../primordials.ts";

/** What an entry costs beside its characters: so many take the server as long as an empty one. */
const ENTRY_COST = 100;
/** A worker may say so much at once, */
const BURST = 128 * 1024;
/** and so much a second. */
const COST_PER_MS = 256 * 1024 / 1000;
/** At its end a task may say as much again, on credit; and a little in any case. */
const LAST_WORDS = 4096;
/** What has waited leaves in lines of so many characters. */
const LINE_CHARS = 8192;

/** An entry that waits, in JSON, and the characters of its text. */
interface Slot {
  json: string;
  chars: number;
}

export interface LogOutletOptions {
  readonly area: Pick<LogWriter, "write">;
  /** Sends a line that the area has no room for. */
  readonly send: (line: string) => void;
}

export class LogOutlet {
  readonly #options: LogOutletOptions;
  /** A ring: `#count` entries from `#first` on. Made before any task, whose setters it never meets so. */
  readonly #slots = newSlots();
  #first = 0;
  #count = 0;
  #chars = 0;
  /** Since the last that left. */
  #dropped = 0;
  /** What may leave now. */
  #budget = BURST;
  #budgetAt = now();

  constructor(options: LogOutletOptions) {
    this.#options = options;
  }

  /** Something waits here. */
  get hasRest(): boolean {
    return this.#count > 0;
  }

  /** The task of `lease`, which runs, says `text`, which is no longer than an entry may be. */
  say(lease: number, level: LogLevel, text: string): void {
    this.#keep(`[${wallClock()},"${level}",${stringify(text)}]`, text.length);
    this.flush(lease);
  }

  /** Lets what waits go, where all of it may. */
  flush(lease: number): void {
    if (!this.#mayCost(this.#cost())) return;
    while (this.#count > 0 && this.#writeSome(lease));
  }

  /** The task ends: lets the newest of what waits go. */
  finish(lease: number): void {
    if (this.#count === 0) return;
    this.#refill();
    const most = max(LAST_WORDS, this.#budget + BURST);
    while (this.#count > 1 && this.#cost() > most) this.#drop();
    while (this.#count > 0 && this.#writeSome(lease));
    if (this.#count === 0) return;
    this.#options.send(lineOf(lease, this.#entries(this.#count), this.#dropped));
    this.#left(this.#count);
  }

  /** Writes a line with the oldest that wait; false where it has no room. */
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

  /** Of all that waits. */
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

  /** Takes the oldest out. */
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
