/**
 * Which ops are paused: their tasks are taken and kept, and handed to no worker. Kept in the settings of
 * the engine, so that a pause outlives the server where its tasks do.
 */

import { quote, SdError } from "../../protocol/errors.ts";
import { MAX_OP_CHARS, MAX_PAUSED_OPS } from "../../protocol/limits.ts";
import type { Settings } from "../engine/engine.ts";

/** All settings of this room. */
const PREFIX = "paused/";
const ALL = `${PREFIX}all`;
const OP_PREFIX = `${PREFIX}op/`;
const PAUSED = "true";

/** In an answer, for all ops. */
const EVERY_OP = "*";

const NO_OPS: ReadonlySet<string> = new Set();

export interface PausesOptions {
  readonly settings: Settings;
  /** There may be tasks to hand out. */
  readonly onResumed: () => void;
  /** Resolves when no lease is under way that was begun before. */
  readonly leased: () => Promise<void>;
}

export class Pauses {
  /** The settings that are this room's, for whoever carries them from engine to engine. */
  readonly prefix = PREFIX;
  readonly #settings: Settings;
  readonly #onResumed: () => void;
  readonly #leased: () => Promise<void>;
  readonly #ops: Set<string>;
  #all: boolean;
  /** What is left of the ops of a worker process; made anew after each change. */
  #leasable = new WeakMap<ReadonlySet<string>, ReadonlySet<string>>();

  /** Takes up what the settings say. */
  constructor({ settings, onResumed, leased }: PausesOptions) {
    this.#settings = settings;
    this.#onResumed = onResumed;
    this.#leased = leased;
    this.#all = settings.get(ALL) === PAUSED;
    this.#ops = new Set(
      settings.list(OP_PREFIX).filter(([, value]) => value === PAUSED)
        .map(([name]) => name.slice(OP_PREFIX.length)),
    );
  }

  /** What is paused now, by name; `["*"]` when all ops are. */
  get list(): string[] {
    return this.#all ? [EVERY_OP] : [...this.#ops].sort();
  }

  has(op: string): boolean {
    return this.#all || this.#ops.has(op);
  }

  /** Those of `ops` whose tasks may be handed out. */
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
      // It would be forgotten by the next start, so it is not done at all.
      this.#set(op, false);
      this.#onResumed();
      throw error;
    }
  }

  /** Resumes `op`, or every op, also those that were paused one by one. */
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
    await Promise.all(names.map(async (name) => {
      await this.#settings.save(nameOf(name), undefined);
      this.#set(name, false);
    }));
    this.#onResumed();
  }

  /** Takes up a setting of this room from another engine; false where it says what holds already. */
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
