/**
 * The end of a lead, for an engine on a store that servers share. Once another server may lead, this one must not answer any
 * more: what it knows can be out of date, and the fate of a write under way is for the new leader to read. So nothing that
 * the engine was asked settles after that moment, no end is reported, and no fault either. The server cuts its clients,
 * which ask the new leader, and then closes the engine: that rejects everything that is open.
 */

import { SdError } from "../../../protocol/errors.ts";
import type { Engine } from "../engine.ts";
import type { JournaledOptions } from "./options.ts";
import { StoreError, type TaskStore } from "./task_store.ts";

/** Opens an engine that is silent once the lead of its store is lost. `open` opens the one inside. */
export async function openUnderLead(
  options: JournaledOptions,
  open: (options: JournaledOptions) => Promise<Engine>,
): Promise<Engine> {
  const guard = new LeadGuard(options.store);
  return await guard.opened(open(guard.inside(options)));
}

class LeadGuard {
  readonly #store: TaskStore;
  readonly #open = new Set<(error: SdError) => void>();
  readonly #lost = Promise.withResolvers<string>();
  #reason: string | undefined;
  #isEnded = false;

  constructor(store: TaskStore) {
    this.#store = store;
    void store.lost?.then((reason) => this.#lose(reason));
  }

  /** Resolves with the reason once this server does not lead any more. */
  get lost(): Promise<string> {
    return this.#lost.promise;
  }

  get isLost(): boolean {
    return this.#reason !== undefined;
  }

  /** Options for the engine inside: its store, its reports and the ends of its tasks are silent after the lead. */
  inside(options: JournaledOptions): JournaledOptions {
    const { ended, report } = options;
    return {
      ...options,
      store: {
        call: (name, ask) => this.#held(this.#store.call(name, ask)),
        close: () => this.#store.close(),
      },
      ended: (tasks) => void (this.isLost || ended?.(tasks)),
      report: (message) => void (this.isLost || report(message)),
    };
  }

  /** Resolves with the guarded engine; rejects if the lead is lost before it has started. */
  async opened(opening: Promise<Engine>): Promise<Engine> {
    let hasStarted = false;
    void this.lost.then(() => hasStarted || this.#end());
    const engine = await this.#held(opening);
    hasStarted = true;
    return this.#outside(engine);
  }

  /** The engine as the server has it: each of its methods is silent after the lead. */
  #outside(engine: Engine): Engine {
    const methods = new Map<PropertyKey, unknown>();
    methods.set("close", () => this.#close(engine));
    methods.set("lost", this.lost);
    return new Proxy(engine, {
      set: (_, name, value) => (methods.set(name, value), true),
      has: (target, name) => methods.has(name) || name in target,
      get: (target, name) => {
        const known = methods.get(name);
        if (known !== undefined) return known;
        const value = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        const method = (...args: unknown[]) =>
          this.#held(this.isLost ? undefined : value.apply(target, args));
        methods.set(name, method);
        return method;
      },
    });
  }

  async #close(engine: Engine): Promise<void> {
    // It can be the close itself that learns of the end.
    void this.lost.then(() => this.#end());
    await engine.close();
    // Changes that could not be written.
    this.#end();
  }

  /** Settles as `work` does, unless the lead is lost before: then it is open until the end. */
  #held<T>(work: Promise<T> | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#isEnded) reject(this.#error);
      this.#open.add(reject);
      work?.then(
        (answer) => {
          if (this.isLost) return;
          this.#open.delete(reject);
          resolve(answer);
        },
        (error) => {
          if (error instanceof StoreError && error.fault === "fenced") this.#lose(error.message);
          if (this.isLost) return;
          this.#open.delete(reject);
          reject(error);
        },
      );
    });
  }

  get #error(): SdError {
    return new SdError(
      "shutting_down",
      `this server leads no more: ${this.#reason ?? "it has stopped"}`,
      {
        retryAfterMs: 0,
      },
    );
  }

  #lose(reason: string): void {
    if (this.isLost) return;
    this.#reason = reason;
    this.#lost.resolve(reason);
  }

  #end(): void {
    this.#isEnded = true;
    for (const reject of this.#open) reject(this.#error);
    this.#open.clear();
  }
}
