/**
 * The inspector: a worker that loads the task files and runs no task. So a file that does not load, or whose loading
 * never ends, is reported, and a check of arguments never waits behind a task. `TaskLibrary` opens it.
 */

import type { SchemaFault } from "../../protocol/work_message.ts";
import { firstWait, LoadFault } from "../ops/load_fault.ts";
import type { CheckOrder, FoundOp, InspectReport, InspectStart } from "../bridge/thread_message.ts";
import type { TaskModule } from "../ops/task_modules.ts";

/** Most submits in one message to the worker, and the longest time for their checks. */
const PIECE = 64;
const PIECE_MS = 5000;
/** Longest time for the top level of a task file, in ms. */
const LOAD_MS = 10_000;
/** Longest time for the worker to start, in ms: enough for a slow machine. */
const START_MS = 60_000;

interface InspectorOptions {
  readonly modules: readonly TaskModule[];
  readonly newWorker: () => Worker;
  /** A schema check does not end; only the end of the process stops it. */
  readonly stuck: () => void;
  readonly loadMs?: number;
}

type Faults = (SchemaFault | null)[];

export class Inspector {
  readonly #options: InspectorOptions;
  readonly #worker: Worker;
  readonly #port: MessagePort;
  readonly #wake: MessagePort;
  readonly #found = Promise.withResolvers<FoundOp[]>();
  readonly #checks = new Map<number, { count: number; answer: (faults: Faults) => void }>();
  #loading = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #check = 0;
  #isGone = false;

  private constructor(options: InspectorOptions) {
    this.#options = options;
    this.#worker = options.newWorker();
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#lose(event.message);
    };
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }: MessageEvent<InspectReport>) => this.#receive(data);
    const start: InspectStart = { inspect: options.modules };
    const wake = new MessageChannel();
    this.#wake = wake.port1;
    this.#worker.postMessage(start, [port2, wake.port2]);
  }

  /** Loads the files; resolves with their ops. Throws a `LoadFault`. */
  static async open(options: InspectorOptions): Promise<{ inspector: Inspector; ops: FoundOp[] }> {
    const inspector = new Inspector(options);
    inspector.#allow(START_MS);
    try {
      return { inspector, ops: await inspector.#found.promise };
    } catch (error) {
      inspector.close();
      throw error;
    } finally {
      clearTimeout(inspector.#timer);
    }
  }

  /** The worker has ended, by an error of the files outside any check. */
  get isGone(): boolean {
    return this.#isGone;
  }

  /** The fault of each submit, or null. If the worker ends meanwhile, there are no faults. */
  async check(submits: readonly [op: string, line: string][]): Promise<Faults> {
    const faults: Faults = [];
    for (let at = 0; at < submits.length; at += PIECE) {
      faults.push(...await this.#checkPiece(submits.slice(at, at + PIECE)));
    }
    return faults;
  }

  async #checkPiece(submits: [op: string, line: string][]): Promise<Faults> {
    if (this.#isGone) return submits.map(() => null);
    const check = ++this.#check;
    const order: CheckOrder = { check, submits };
    const stuck = setTimeout(this.#options.stuck, PIECE_MS);
    const checked = new Promise<Faults>((answer) => {
      this.#checks.set(check, { count: submits.length, answer });
    });
    this.#port.postMessage(order);
    this.#wake.postMessage(0);
    return await checked.finally(() => clearTimeout(stuck));
  }

  close(): void {
    this.#lose("closed");
  }

  #receive(report: InspectReport): void {
    if ("loading" in report) {
      this.#loading = report.loading;
      this.#allow(this.#options.loadMs ?? LOAD_MS);
    } else if ("ops" in report) this.#found.resolve(report.ops);
    else if ("fault" in report) {
      this.#found.reject(LoadFault.reported(report.fault, report.missing));
    } else {
      this.#checks.get(report.checked)?.answer(report.faults);
      this.#checks.delete(report.checked);
    }
  }

  /** The next report must come within `ms`. */
  #allow(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#found.reject(this.#late(ms)), ms);
  }

  #lose(message: string): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#worker.onerror = null;
    this.#port.close();
    this.#wake.close();
    this.#worker.terminate();
    const { name } = this.#options.modules[this.#loading] ?? { name: "a task file" };
    this.#found.reject(new LoadFault(`${name}: ${message}`));
    this.#found.promise.catch(() => undefined);
    for (const { count, answer } of this.#checks.values()) answer(Array(count).fill(null));
    this.#checks.clear();
  }

  #late(loadMs: number): LoadFault {
    const module = this.#options.modules[this.#loading];
    if (!module) return new LoadFault(`the task files did not load in ${loadMs} ms`);
    const line = firstWait(Deno.readTextFileSync(new URL(module.url)));
    const place = line === undefined ? module.name : `${module.name}:${line}`;
    const what = line === undefined
      ? "it"
      : "its top level, which first waits or loops in this line,";
    return new LoadFault(`${place}: ${what} did not end within ${loadMs / 1000} s of loading`);
  }
}
