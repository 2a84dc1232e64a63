/**
 * Times that a restart must not forget, kept in settings of the store. `ClockMark` keeps the latest server time, so that
 * the next server goes on from there if its wall clock is behind: otherwise every delay would last longer by the
 * difference. `RateKeeper` keeps the start times of tasks with a rate, so that a restart does not let more tasks through.
 * Both are written along with the next commit, and nothing waits for them.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Rate } from "../../../protocol/text_forms.ts";
import type { LeasedTask } from "../engine.ts";
import type { LiveTask } from "../live/live_task.ts";
import type { StartLimits } from "../live/start_limits.ts";

/** Shortest window that is kept, in ms: a shorter one is over before a server has restarted. */
const MIN_WINDOW_MS = 100;
/** Most starts in a piece. */
const PIECE_STARTS = 100;

interface StoredStarts {
  readonly windowMs: number;
  readonly starts: readonly number[];
}

interface Piece {
  /** The name of its setting. */
  readonly setting: string;
  readonly starts: number[];
}

/** The kept starts of one key or op. */
interface Kept {
  /** The longest window that its tasks named. */
  windowMs: number;
  /** The oldest first. */
  readonly pieces: Piece[];
  next: number;
}

/** The limits in memory of keys, or of ops. */
interface Starts {
  restore(name: string, starts: readonly number[], windowMs: number): void;
  prune(now: number): void;
}

/** Writes a setting, or removes it; rejects if it could not be committed. */
type Save = (name: string, value: string | null) => Promise<void>;

export class RateKeeper {
  readonly #keys: KeptStarts;
  readonly #ops: KeptStarts;

  constructor({ keys, opRates }: StartLimits, save: Save) {
    this.#keys = new KeptStarts("key", keys, save);
    this.#ops = new KeptStarts("op", opRates, save);
  }

  /** Reads its settings and restores the starts; returns the other settings. */
  restore(
    settings: readonly (readonly [name: string, value: string])[],
    now: number,
  ): (readonly [string, string])[] {
    const others = settings.filter(([name, value]) =>
      !this.#keys.read(name, value) && !this.#ops.read(name, value)
    );
    this.#keys.restore(now);
    this.#ops.restore(now);
    return others;
  }

  /** Keeps the starts of these tasks. */
  started(tasks: readonly LeasedTask[], rates: ReadonlyMap<string, Rate> | undefined): void {
    for (const task of tasks as readonly LiveTask[]) {
      const { keyLimit } = task.task;
      if (keyLimit?.rate) this.#keys.add(keyLimit.key, keyLimit.rate.windowMs, task.startedAt);
      const rate = rates?.get(task.op);
      if (rate) this.#ops.add(task.op, rate.windowMs, task.startedAt);
    }
    this.#keys.save();
    this.#ops.save();
  }

  /** Forgets starts whose windows are over. */
  prune(now: number): void {
    this.#keys.prune(now);
    this.#ops.prune(now);
  }
}

/**
 * The kept starts of keys, or of ops. The starts of a name are kept in pieces, each a setting: a start writes only the last
 * piece again, not the whole window.
 */
class KeptStarts {
  /** Prefix of settings of earlier versions, one for each name. */
  readonly #whole: string;
  /** Prefix of settings of pieces: the number of the piece and the name follow. */
  readonly #piece: string;
  readonly #starts: Starts;
  readonly #save: Save;
  readonly #kept = new Map<string, Kept>();
  /** Pieces that must be written again, with their names' starts. */
  readonly #changed = new Map<Piece, Kept>();
  /** Settings that could not be dropped. */
  readonly #undropped = new Set<string>();

  constructor(kind: "key" | "op", starts: Starts, save: Save) {
    this.#whole = `rate/${kind}/`;
    this.#piece = `rate/${kind}s/`;
    this.#starts = starts;
    this.#save = save;
  }

  /** Reads a setting; false if it is not one of these. */
  read(setting: string, value: string): boolean {
    let name: string;
    let number = 0;
    if (setting.startsWith(this.#whole)) name = setting.slice(this.#whole.length);
    else if (setting.startsWith(this.#piece)) {
      const rest = setting.slice(this.#piece.length);
      number = parseInt(rest);
      name = rest.slice(rest.indexOf("/") + 1);
    } else return false;
    const { windowMs, starts } = JSON.parse(value) as StoredStarts;
    const kept = this.#of(name);
    kept.windowMs = Math.max(kept.windowMs, windowMs);
    kept.next = Math.max(kept.next, number + 1);
    kept.pieces.push({ setting, starts: [...starts] });
    return true;
  }

  /** Restores the starts in memory, once all settings are read. */
  restore(now: number): void {
    for (const [name, { pieces, windowMs }] of this.#kept) {
      pieces.sort((a, b) => (a.starts[0] ?? 0) - (b.starts[0] ?? 0));
      const starts = pieces.flatMap(({ starts }) => starts);
      this.#starts.restore(name, starts.filter((start) => start + windowMs > now), windowMs);
    }
  }

  add(name: string, windowMs: number, start: number): void {
    if (windowMs < MIN_WINDOW_MS) return;
    const kept = this.#of(name);
    kept.windowMs = Math.max(kept.windowMs, windowMs);
    let last = kept.pieces.at(-1);
    if (!last || last.starts.length >= PIECE_STARTS) {
      this.#dropOver(kept, start);
      last = { setting: `${this.#piece}${kept.next++}/${name}`, starts: [] };
      this.#undropped.delete(last.setting);
      kept.pieces.push(last);
    }
    last.starts.push(start);
    this.#changed.set(last, kept);
  }

  /** Writes the pieces that have changed. */
  save(): void {
    for (const [piece, kept] of this.#changed) {
      this.#changed.delete(piece);
      const stored: StoredStarts = { windowMs: kept.windowMs, starts: piece.starts };
      this.#save(piece.setting, JSON.stringify(stored)).catch(() => {
        // The next start writes it again, unless its window is over by then.
        if (kept.pieces.includes(piece)) this.#changed.set(piece, kept);
      });
    }
  }

  prune(now: number): void {
    this.#starts.prune(now);
    for (const setting of this.#undropped) this.#drop(setting);
    for (const [name, kept] of this.#kept) {
      this.#dropOver(kept, now);
      if (kept.pieces.length === 0) this.#kept.delete(name);
    }
  }

  #of(name: string): Kept {
    let kept = this.#kept.get(name);
    if (!kept) this.#kept.set(name, kept = { windowMs: 0, pieces: [], next: 1 });
    return kept;
  }

  /** Drops pieces whose starts are all out of the window. */
  #dropOver({ pieces, windowMs }: Kept, now: number): void {
    const first = pieces.findIndex(({ starts }) => (starts.at(-1) ?? 0) + windowMs > now);
    for (const piece of pieces.splice(0, first < 0 ? pieces.length : first)) {
      this.#changed.delete(piece);
      this.#drop(piece.setting);
    }
  }

  #drop(setting: string): void {
    this.#undropped.delete(setting);
    this.#save(setting, null).catch(() => this.#undropped.add(setting));
  }
}

/** The name of the setting; its value is a number, ms since 1970. */
const NAME = "clock";
/** Longest time by which the mark is behind the commits, in ms. */
const BUSY_MS = 1000;
/** The same while tasks wait for their time and nothing else is committed, in ms. */
const IDLE_MS = 30_000;

/** The end of the year 9999: a later mark is not a time. */
const MAX_MARK_MS = 253_402_300_799_999;

type Setting = readonly [name: string, value: string];

export class ClockMark {
  readonly #save: (name: string, value: string) => Promise<void>;
  #markedAt = 0;

  /** `save` rejects if the mark could not be committed. */
  constructor(save: (name: string, value: string) => Promise<void>) {
    this.#save = save;
  }

  /** The setting for the next commit; `undefined` if the last mark is new enough and none is `needed`. */
  along(now: number, needed = false): Setting | undefined {
    return this.#after(needed ? -Infinity : BUSY_MS, now);
  }

  /** Commits the mark while there is nothing else to commit. */
  alone(now: number): void {
    this.#keep(this.#after(IDLE_MS, now));
  }

  /** Commits the mark before the server ends. */
  last(now: number): void {
    this.#keep(this.#after(1, now));
  }

  /** Commits a mark. If that fails, a later mark is written with the next commit. */
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

/** The mark in the settings of a store; 0 if there is none, or none that can be right. */
export function markIn(settings: readonly Setting[]): number {
  const ms = Number(settings.find(([name]) => name === NAME)?.[1] ?? 0);
  return Number.isSafeInteger(ms) && ms <= MAX_MARK_MS ? ms : 0;
}
