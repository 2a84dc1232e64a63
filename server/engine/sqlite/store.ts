/**
 * The engine's side of the store thread: asks, and hands each answer to the one who asked. A thread that dies is
 * never waited for: all that is open then fails, and so does all that comes after it.
 */

import { delay } from "@std/async/delay";
import { ClientError } from "../../../net/client_error.ts";
import type {
  DamagedRow,
  Opened,
  StoreCall,
  StoreCalls,
  StoreFault,
  StoreReply,
  StoreStart,
  StoreStarted,
  Write,
} from "./file/store_message.ts";

/** A request that failed; nothing of it is in the file, unless `isUncut`. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  constructor(readonly fault: StoreFault, message: string, readonly isUncut = false) {
    super(message);
  }
}

/** Longest wait for a failed commit to be cut off the log, in ms; its clients wait as long for their refusal. */
const CUT_MS = 5000;
const CUT_AGAIN_MS = 100;

/** Commits. Rejects with a `StoreError` once nothing of it is kept, or after `CUT_MS` with one that says otherwise. */
export async function commit(store: Pick<Store, "call">, write: Write): Promise<void> {
  try {
    await store.call("write", write);
  } catch (error) {
    if (!(error instanceof StoreError) || !error.isUncut) throw error;
    const giveUpAt = performance.now() + CUT_MS;
    while (!await isCut(store)) {
      if (performance.now() >= giveUpAt) {
        const doubt =
          "; nor can it be undone while the disk does not work, so a restart may bring it back";
        throw new StoreError(error.fault, error.message + doubt);
      }
      await delay(CUT_AGAIN_MS);
    }
    throw error;
  }
}

async function isCut(store: Pick<Store, "call">): Promise<boolean> {
  try {
    await store.call("cut", null);
    return true;
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

export interface StoreOptions extends StoreStart {
  /** Rows that are not what was written, and so were left out of an answer: for the log. */
  readonly onDamaged?: (rows: readonly DamagedRow[]) => void;
  /** What an operator must know: for the log. */
  readonly onNote?: (note: string) => void;
}

interface Waiting {
  resolve(answer: unknown): void;
  reject(error: StoreError): void;
}

export class Store {
  readonly #worker: Worker;
  readonly #options: Pick<StoreOptions, "onDamaged" | "onNote">;
  readonly #waiting = new Map<number, Waiting>();
  #serial = 0;
  /** Why no request can be answered any more. */
  #over: StoreError | null = null;
  #closed: Promise<void> | null = null;

  private constructor(worker: Worker, options: Pick<StoreOptions, "onDamaged" | "onNote">) {
    this.#worker = worker;
    this.#options = options;
    worker.onmessage = ({ data }: MessageEvent<StoreReply>) => this.#settle(data);
    worker.onerror = (event) => {
      // Else the error would end the process.
      event.preventDefault();
      this.#end(new StoreError("bug", `the store thread has ended: ${event.message}`));
    };
    worker.onmessageerror = () =>
      this.#end(new StoreError("bug", "a reply of the store thread cannot be read"));
  }

  /** Rejects with a `ClientError` where a person must do something first. */
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

  /** Rejects with a `StoreError`. */
  call<C extends StoreCall>(call: C, ask: StoreCalls[C]["ask"]): Promise<StoreCalls[C]["answer"]> {
    if (this.#over !== null) return Promise.reject(this.#over);
    const serial = ++this.#serial;
    return new Promise((resolve, reject) => {
      this.#worker.postMessage(
        call === "write" ? { serial, call, json: JSON.stringify(ask) } : { serial, call, ask },
      );
      this.#waiting.set(serial, { resolve: resolve as (answer: unknown) => void, reject });
    });
  }

  /** After all that was asked before it. Twice is once. */
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
      waiting.reject(new StoreError(reply.fault, reply.message, reply.isUncut));
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
