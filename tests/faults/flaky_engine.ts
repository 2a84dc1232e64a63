/**
 * Any engine, made late and failing by a seed: the second implementation that each seam needs. Calls reach the engine in
 * the order in which they were made. A call that fails never reaches it, so it fails whole. Used by the contract, by the
 * dispatch stage and by tests on a whole server.
 */

import { SdError } from "../../protocol/errors.ts";
import type { Engine, Settings } from "../../server/engine/engine.ts";
import { copyOf } from "../contract/contract_steps.ts";
import type { Random } from "../fuzz/random.ts";
import { LateCalls, type LateOptions } from "./late_calls.ts";

/** A method that can fail. */
export type FailingMethod = Exclude<
  keyof Engine,
  "name" | "settings" | "serials" | "lastAt" | "backup" | "close" | "outbox" | "lost"
>;

export interface EngineFaults {
  /** 0…1: the share of calls that fail. */
  readonly share: number;
  /** The methods that fail; default: all. */
  readonly methods?: readonly FailingMethod[];
}

export interface FlakyEngineOptions extends LateOptions {
  /** Default: no call fails. */
  readonly faults?: EngineFaults | undefined;
}

/** Stands in the message of each injected error. */
export const INJECTED = "injected fault";

export class FlakyEngine implements Engine {
  readonly #engine: Engine;
  readonly #random: Random;
  readonly #late: LateCalls;
  #faults: EngineFaults;
  #failed = 0;
  readonly settings: Settings;

  constructor(
    engine: Engine,
    random: Random,
    { faults = { share: 0 }, ...late }: FlakyEngineOptions = {},
  ) {
    this.#engine = engine;
    this.#random = random;
    this.#late = new LateCalls(random.fork(), late);
    this.#faults = faults;
    const { settings } = engine;
    this.settings = {
      get: (name) => settings.get(name),
      list: (prefix) => settings.list(prefix),
      save: (name, value) => this.#late.call(() => settings.save(name, value)),
      replace: (name, change) => this.#late.call(() => settings.replace(name, change)),
      watch: (prefix, changed) => settings.watch(prefix, changed),
    };
    if (engine.recheck) {
      this.recheck = (...args) => this.#call("recheck", () => engine.recheck!(...args));
    }
  }

  /** From now on these calls fail; default: none. */
  setFaults(faults: EngineFaults = { share: 0 }): void {
    this.#faults = faults;
  }

  /** Calls that have failed so far. */
  get failed(): number {
    return this.#failed;
  }

  /** Whether no call is open. */
  get isIdle(): boolean {
    return this.#late.isIdle;
  }

  get name() {
    return this.#engine.name;
  }

  get serials() {
    return this.#engine.serials;
  }

  get lastAt() {
    return this.#engine.lastAt ?? 0;
  }

  recheck?: NonNullable<Engine["recheck"]>;

  enqueue: Engine["enqueue"] = (...args) =>
    this.#call("enqueue", () => this.#engine.enqueue(...args));

  lease: Engine["lease"] = (...args) =>
    this.#call("lease", async () => {
      const leased = await this.#engine.lease(...args);
      // Copies: the engine may hand out its own records, which must be read at once.
      return { ...leased, tasks: leased.tasks.map(copyOf) };
    });

  adopt: Engine["adopt"] = (...args) =>
    this.#call("adopt", async () => {
      const tasks = await this.#engine.adopt(...args);
      return tasks.map((task) => task && copyOf(task));
    });

  reserve: Engine["reserve"] = (...args) =>
    this.#call("reserve", () => this.#engine.reserve(...args));

  renew: Engine["renew"] = (...args) => this.#call("renew", () => this.#engine.renew(...args));

  ack: Engine["ack"] = (...args) => this.#call("ack", () => this.#engine.ack(...args));

  nack: Engine["nack"] = (...args) => this.#call("nack", () => this.#engine.nack(...args));

  overdue: Engine["overdue"] = (...args) =>
    this.#call("overdue", () => this.#engine.overdue(...args));

  cancel: Engine["cancel"] = (...args) => this.#call("cancel", () => this.#engine.cancel(...args));

  requeue: Engine["requeue"] = (...args) =>
    this.#call("requeue", () => this.#engine.requeue(...args));

  get: Engine["get"] = (...args) => this.#call("get", () => this.#engine.get(...args));

  list: Engine["list"] = (...args) => this.#call("list", () => this.#engine.list(...args));

  stats: Engine["stats"] = (...args) => this.#call("stats", () => this.#engine.stats(...args));

  prune: Engine["prune"] = (...args) => this.#call("prune", () => this.#engine.prune(...args));

  async close(): Promise<void> {
    await this.#late.settled();
    await this.#engine.close();
  }

  #call<T>(method: FailingMethod, work: () => Promise<T>): Promise<T> {
    const { share, methods } = this.#faults;
    const fails = (!methods || methods.includes(method)) && this.#random.chance(share);
    if (!fails) return this.#late.call(work);
    this.#failed++;
    const error = new SdError("storage_full", `${INJECTED}: ${method}`);
    return this.#late.call(() => Promise.reject(error));
  }
}
