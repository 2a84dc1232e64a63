/**
 * The store of the sqlite engine: sends each request to the thread that keeps the file, and resolves it with the answer.
 * If the thread dies, all requests under way fail, and so do all later ones.
 */

import { delay } from "@std/async/delay";
import { ClientError } from "../../../net/client_error.ts";
import type {
  DamagedRow,
  StoreCall,
  StoreCalls,
  StoreReply,
  StoreStart,
  StoreStarted,
} from "./file/store_message.ts";
import { type Opened, StoreError, type TaskStore } from "../journaled/task_store.ts";

/** Longest wait for the remains of a failed commit to be cut off the log, in ms. Its clients wait as long for their refusal. */
const CUT_MS = 5000;
const CUT_AGAIN_MS = 100;

/** A failed commit whose remains are still in the log: a restart could bring it back. */
class UncutError extends StoreError {}

export interface StoreOptions extends StoreStart {
  /** Called with rows that were found damaged and left out of an answer. */
  readonly onDamaged?: (rows: readonly DamagedRow[]) => void;
  /** Called with sentences for the log. */
  readonly onNote?: (note: string) => void;
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: StoreError): void;
}

export class Store implements TaskStore {
  readonly #worker: Worker;
  readonly #options: Pick<StoreOptions, "onDamaged" | "onNote">;
  readonly #waiting = new Map<number, Waiting>();
  #serial = 0;
  /** The reason why no request can be answered any more. */
  #over: StoreError | null = null;
  #closed: Promise<void> | null = null;

  private constructor(worker: Worker, options: Pick<StoreOptions, "onDamaged" | "onNote">) {
    this.#worker = worker;
    this.#options = options;
    worker.onmessage = ({ data }: MessageEvent<StoreReply>) => this.#settle(data);
    worker.onerror = (event) => {
      // Otherwise the error would end the process.
      event.preventDefault();
      this.#end(new StoreError("bug", `the store thread has ended: ${event.message}`));
    };
    worker.onmessageerror = () =>
      this.#end(new StoreError("bug", "a reply of the store thread cannot be read"));
  }

  /** Rejects with a `ClientError` if a person must do something first. */
  static async open(options: StoreOptions): Promise<{ store: Store; opened: Opened }> {
    const { path, durability, now } = options;
    const worker = new Worker(new URL("./file/store_thread.ts", import.meta.url), {
      type: "module",
    });
    try {
      const started = await new Promise<StoreStarted>((resolve, reject) => {
        worker.onmessage = ({ data }: MessageEvent<StoreStarted>) => resolve(data);
        worker.onerror = (event) => {
          event.preventDefault();
          reject(new StoreError("bug", `the store thread cannot start: ${event.message}`));
        };
        worker.postMessage({ path, durability, now } satisfies StoreStart);
      });
      if ("refused" in started) {
        const { message, hint } = started.refused;
        throw new ClientError("usage", message, { hint });
      }
      if ("fault" in started) throw new StoreError(started.fault, started.message);
      return { store: new Store(worker, options), opened: started.opened };
    } catch (error) {
      worker.terminate();
      throw error;
    }
  }

  call<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): Promise<StoreCalls[C]["answer"]> {
    const answer = this.#ask(call, ask);
    return call === "write" ? answer.catch((error) => this.#whenCut(error)) : answer;
  }

  #ask<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): Promise<StoreCalls[C]["answer"]> {
    if (this.#over !== null) return Promise.reject(this.#over);
    const serial = ++this.#serial;
    return new Promise((resolve, reject) => {
      this.#worker.postMessage(
        call === "write" ? { serial, call, json: JSON.stringify(ask) } : { serial, call, ask },
      );
      this.#waiting.set(serial, { resolve: resolve as (answer: unknown) => void, reject });
    });
  }

  /** Throws `error` once nothing of its commit is in the log, or after `CUT_MS` an error that says otherwise. */
  async #whenCut(error: unknown): Promise<never> {
    if (!(error instanceof UncutError)) throw error;
    const giveUpAt = performance.now() + CUT_MS;
    while (!await this.#isCut()) {
      if (performance.now() >= giveUpAt) {
        const doubt =
          "; nor can it be undone while the disk does not work, so a restart may bring it back";
        throw new StoreError(error.fault, error.message + doubt);
      }
      await delay(CUT_AGAIN_MS);
    }
    throw error;
  }

  async #isCut(): Promise<boolean> {
    try {
      await this.#ask("cut", null);
      return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    if (this.#over !== null) return;
    const closing = this.call("close", null);
    this.#over = new StoreError("bug", "the store is closed");
    try {
      await closing;
    } finally {
      this.#worker.terminate();
    }
  }

  #settle(reply: StoreReply): void {
    const waiting = this.#waiting.get(reply.serial);
    if (waiting === undefined) return;
    this.#waiting.delete(reply.serial);
    if ("fault" in reply) {
      const Failure = reply.isUncut ? UncutError : StoreError;
      waiting.reject(new Failure(reply.fault, reply.message));
    } else {
      if (reply.damaged !== undefined) this.#options.onDamaged?.(reply.damaged);
      for (const note of reply.notes ?? []) this.#options.onNote?.(note);
      waiting.resolve(reply.answer);
    }
  }

  #end(error: StoreError): void {
    this.#over = error;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of all) reject(error);
    this.#worker.terminate();
  }
}
