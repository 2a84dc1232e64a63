/**
 * Runs every hostile behaviour among good tasks, on a real server, round after round. Each hostile task must end with a
 * code that fits, and every good one with the right result. Other requests to the server must be answered meanwhile.
 */

import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe } from "../kit/sd_process.ts";

/** What may become of each: a code of an error, or `completed`. */
const ENDS: Record<string, readonly string[]> = {
  spin: ["timeout"],
  wait: ["timeout"],
  spin_microtasks: ["timeout"],
  spin_in_regexp: ["timeout"],
  heap: ["out_of_memory"],
  buffers: ["out_of_memory"],
  slow_heap: ["out_of_memory"],
  exit_deno: ["task_error"],
  exit_process: ["task_error"],
  close_worker: ["task_error"],
  kill: ["task_error"],
  throw_undefined: ["task_error"],
  throw_bomb: ["task_error"],
  return_function: ["bad_result"],
  return_cycle: ["bad_result"],
  return_bigint: ["bad_result"],
  return_much: ["bad_result", "out_of_memory"],
  return_never: ["timeout"],
  return_twice: ["completed"],
  return_json_bomb: ["bad_result"],
  forge: ["task_error"],
  overwrite: ["completed"],
  leave_timers: ["completed"],
  leave_listeners: ["task_error"],
  leave_promise: ["completed"],
  leave_spin: ["completed"],
  flood_log: ["completed"],
  submit_itself: ["completed"],
};

/** One attempt of a hostile task; a task that takes memory gets more time for it. */
const TIMEOUT_MS = 400;
const SLOW_OPS = ["heap", "buffers", "slow_heap", "return_much", "flood_log"];
const SLOW_TIMEOUT_MS = 60_000;
const PATIENCE_MS = 180_000;
const ASK_EVERY_MS = 10;
const SUBMITS_ITSELF = 3;
const FLOOD_LINES = 20_000;

export interface HostileOptions {
  readonly seed: number;
  readonly rounds: number;
  /** In each round. */
  readonly goodTasks: number;
  readonly workers?: number;
  readonly onRound?: (round: number) => void;
}

export interface HostileReport {
  readonly faults: string[];
  readonly good: number;
  readonly hostile: number;
  /** The longest that an answer of the server took, in ms. */
  readonly worstAnswerMs: number;
  readonly answers: number;
  /** What the server said. */
  readonly talk: readonly string[];
}

export async function hostileRun(options: HostileOptions): Promise<HostileReport> {
  const { seed, rounds, goodTasks, workers = 2, onRound } = options;
  const file = new URL("./hostile_tasks.js", import.meta.url).pathname;
  await using serve = await SdServe.start([
    file,
    `--workers=${workers}`,
    "--max-memory=128M",
    "--allow-net=127.0.0.1",
  ]);
  const run = new HostileRun(serve, seed);
  const asking = run.ask();
  try {
    for (let round = 1; round <= rounds; round++) {
      await run.round(goodTasks);
      onRound?.(round);
    }
  } finally {
    run.stopAsking();
    await asking;
  }
  return { ...run.report(), talk: [...serve.lines] };
}

class HostileRun {
  readonly #serve: SdServe;
  readonly #faults: string[] = [];
  #seed: number;
  #good = 0;
  #hostile = 0;
  #isAsking = true;
  #answers = 0;
  #worstMs = 0;

  constructor(serve: SdServe, seed: number) {
    this.#serve = serve;
    this.#seed = seed;
  }

  /** Asks the server for something, again and again, and keeps the time that it takes. */
  async ask(): Promise<void> {
    using client = await RawClient.connect(this.#serve.address, PATIENCE_MS);
    while (this.#isAsking) {
      const began = performance.now();
      await client.ask({ cmd: "ping" });
      this.#worstMs = Math.max(this.#worstMs, performance.now() - began);
      this.#answers++;
      await delay(ASK_EVERY_MS);
    }
  }

  stopAsking(): void {
    this.#isAsking = false;
  }

  /** One of every hostile task among good ones, in an order of the seed. */
  async round(goodTasks: number): Promise<void> {
    const tasks: Record<string, unknown>[] = Object.keys(ENDS).map((op) => this.#hostileTask(op));
    this.#hostile += tasks.length;
    for (let n = 0; n < goodTasks; n++) tasks.push({ op: n % 2 === 0 ? "good" : "good_async", n });
    this.#good += goodTasks;
    this.#shuffle(tasks);
    using client = await RawClient.connect(this.#serve.address, PATIENCE_MS);
    await client.sendObjects(...tasks.map((task, ref) => ({ ...task, ref })));
    const open = new Set(tasks.keys());
    while (open.size > 0) {
      const { ref, status, result, error } = await client.object();
      if (status === "queued") continue;
      open.delete(ref);
      this.#judge(tasks[ref]!, { end: error?.code ?? status, result, message: error?.message });
    }
  }

  report(): Omit<HostileReport, "talk"> {
    return {
      faults: this.#faults,
      good: this.#good,
      hostile: this.#hostile,
      worstAnswerMs: this.#worstMs,
      answers: this.#answers,
    };
  }

  #hostileTask(op: string): Record<string, unknown> {
    const timeout = SLOW_OPS.includes(op) ? SLOW_TIMEOUT_MS : TIMEOUT_MS;
    const { port } = this.#serve.address;
    return { op, port, depth: SUBMITS_ITSELF, lines: FLOOD_LINES, task: { timeout } };
  }

  #judge(
    task: Record<string, unknown>,
    { end, result, message }: { end: string; result: unknown; message: string | undefined },
  ): void {
    const op = String(task.op);
    const expected = ENDS[op];
    const right = expected
      ? expected.includes(end) && result !== "forged"
      : end === "completed" && result === goodResult(op, task.n as number);
    if (!right) {
      this.#faults.push(
        `${JSON.stringify(task)} ended ${end}: ${message ?? JSON.stringify(result)}`,
      );
    }
  }

  #shuffle(tasks: unknown[]): void {
    for (let i = tasks.length - 1; i > 0; i--) {
      this.#seed = (this.#seed * 1_103_515_245 + 12_345) % 2 ** 31;
      const j = Math.floor((this.#seed / 2 ** 31) * (i + 1));
      [tasks[i], tasks[j]] = [tasks[j], tasks[i]];
    }
  }
}

function goodResult(op: string, n: number): number | string {
  if (op === "good_async") return `${n}-${n + 1}`;
  let sum = 0;
  for (let i = 0; i < 10; i++) if (((n + i) * 2) % 4 === 0) sum += (n + i) * 2;
  return sum;
}
