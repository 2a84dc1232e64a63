/**
 * The paused ops: their tasks are accepted and kept, and no worker gets one. Pauses are settings of the engine, so a
 * pause lives as long as its tasks do. The dispatcher asks it before each lease.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_OP_CHARS, MAX_PAUSED_OPS } from "../../protocol/limits.ts";
import type { Settings } from "../engine/engine.ts";

/** Prefix of the settings of this file. */
const PREFIX = "paused/";
const ALL = `${PREFIX}all`;
const OP_PREFIX = `${PREFIX}op/`;
const PAUSED = "true";

/** Stands for all ops in a reply. */
const EVERY_OP = "*";

const NO_OPS: ReadonlySet<string> = new Set();

interface PausesOptions {
  readonly settings: Settings;
  /** Called when there can be tasks to hand out. */
  readonly onResumed: () => void;
  /** Resolves when no lease of before is under way. */
  readonly leased: () => Promise<void>;
}

export class Pauses {
  /** Prefix of the settings that export and import carry over. */
  readonly prefix = PREFIX;
  readonly #settings: Settings;
  readonly #onResumed: () => void;
  readonly #leased: () => Promise<void>;
  readonly #ops: Set<string>;
  #all: boolean;
  /** The ops of each worker process that are not paused; made again after each change. */
  #leasable = new WeakMap<ReadonlySet<string>, ReadonlySet<string>>();

  /** Reads the settings. */
  constructor({ settings, onResumed, leased }: PausesOptions) {
    this.#settings = settings;
    this.#onResumed = onResumed;
    this.#leased = leased;
    this.#all = settings.get(ALL) === PAUSED;
    // Another server of the same store can pause and resume too.
    settings.watch(PREFIX, (name, value) => {
      const isPaused = value === PAUSED;
      this.#set(name === ALL ? undefined : name.slice(OP_PREFIX.length), isPaused);
      if (!isPaused) onResumed();
    });
    this.#ops = new Set(
      settings.list(OP_PREFIX).filter(([, value]) => value === PAUSED)
        .map(([name]) => name.slice(OP_PREFIX.length)),
    );
  }

  /** The paused ops by name; `["*"]` if all ops are paused. */
  get list(): string[] {
    return this.#all ? [EVERY_OP] : [...this.#ops].sort();
  }

  has(op: string): boolean {
    return this.#all || this.#ops.has(op);
  }

  /** The ops among `ops` that are not paused. */
  leasable(ops: ReadonlySet<string>): ReadonlySet<string> {
    if (this.#all) return NO_OPS;
    if (this.#ops.size === 0) return ops;
    let left = this.#leasable.get(ops);
    if (!left) {
      left = new Set([...ops].filter((op) => !this.#ops.has(op)));
      this.#leasable.set(ops, left);
    }
    return left;
  }

  /** Pauses `op`, known or not, or every op; resolves once that is committed, and no task of it is handed out any more. */
  async pause(op?: string): Promise<void> {
    await this.#save(op);
    await this.#leased();
  }

  /** Nothing is leased from the call on. */
  async #save(op: string | undefined): Promise<void> {
    if (op !== undefined && !this.#ops.has(op) && this.#ops.size >= MAX_PAUSED_OPS) {
      throw new SdError(
        "conflict",
        `${MAX_PAUSED_OPS} ops are paused one by one, the most; resume some, or pause all`,
      );
    }
    if (op === undefined ? this.#all : this.#ops.has(op)) return;
    this.#set(op, true);
    try {
      await this.#settings.save(nameOf(op), PAUSED);
    } catch (error) {
      // The next start of the server would not know of it, so it is undone.
      this.#set(op, false);
      this.#onResumed();
      throw error;
    }
  }

  /** Resumes `op`; without it, every op, whether all were paused or each. */
  async resume(op?: string): Promise<void> {
    if (op !== undefined && this.#all) {
      throw new SdError(
        "conflict",
        `op ${quote(op)} stays paused, since all ops are; resume all of them: sd resume --all`,
      );
    }
    const names = op !== undefined
      ? [op].filter((name) => this.#ops.has(name))
      : [...(this.#all ? [undefined] : []), ...this.#ops];
    await Promise.all(names.map((name) => this.#settings.save(nameOf(name), undefined)));
  }

  /** Takes over a setting from another engine; false if it changes nothing. */
  async take(name: string, value: string): Promise<boolean> {
    const op = name === ALL ? undefined : name.slice(OP_PREFIX.length);
    const isOp = op === undefined ||
      (name.startsWith(OP_PREFIX) && op !== "" && op.length <= MAX_OP_CHARS);
    if (value !== PAUSED || !isOp) {
      throw new SdError("bad_request", `there is no setting ${quote(name)} of ${quote(value)}`);
    }
    if (op === undefined ? this.#all : this.#ops.has(op)) return false;
    await this.#save(op);
    return true;
  }

  #set(op: string | undefined, paused: boolean): void {
    if (op === undefined) this.#all = paused;
    else if (paused) this.#ops.add(op);
    else this.#ops.delete(op);
    this.#leasable = new WeakMap();
  }
}

function nameOf(op: string | undefined): string {
  return op === undefined ? ALL : OP_PREFIX + op;
}
