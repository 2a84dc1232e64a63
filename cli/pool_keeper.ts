/**
 * Keeps one worker process running: starts it, starts its successor when it retires, ends, or is
 * killed. Used by `sd serve` for its own workers and by `sd work`. No process is ever left behind: each
 * ends by itself when its stdin does, and is killed where it does not end when it should.
 */

import type { PoolStart } from "../protocol/pool_start.ts";
import { EXIT } from "./exit.ts";
import { PoolChild } from "./pool_child.ts";

/** One that ends sooner has died young: if that goes on, its successors wait. */
const YOUNG_MS = 1000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5000;
/** A process that retires ends by itself well within this. */
const RETIRE_MS = 10_000;

export type PoolEvent =
  | { type: "started"; pid: number }
  /** A task would not stop; its process ends soon, and another is started. */
  | { type: "retiring"; pid: number }
  /** `unexpected`: nobody asked for it. */
  | { type: "exited"; pid: number; code: number; signal: string | null; unexpected: boolean };

export interface PoolKeeperOptions {
  readonly start: Omit<PoolStart, "nonce">;
  readonly onEvent?: (event: PoolEvent) => void;
}

export class PoolKeeper {
  readonly #options: PoolKeeperOptions;
  readonly #children = new Set<PoolChild>();
  /** The process that takes tasks; others in `#children` are about to end. */
  #current: PoolChild | undefined;
  #started = false;
  #stopped = false;
  /** Deaths in a row that came too soon. */
  #youngDeaths = 0;
  #restart: ReturnType<typeof setTimeout> | undefined;

  constructor(options: PoolKeeperOptions) {
    this.#options = options;
  }

  /** Starts the process, once; a keeper that was stopped stays so. Throws where it cannot. */
  start(): void {
    if (this.#started || this.#stopped) return;
    this.#started = true;
    this.#spawn();
  }

  /** Lets the tasks that run finish for at most `graceMs`, then ends the process for good. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#restart);
    await Promise.all([...this.#children].map((child) => child.stop(graceMs)));
  }

  #spawn(): void {
    const startedAt = performance.now();
    const child: PoolChild = new PoolChild(this.#options.start, () => this.#retire(child));
    this.#current = child;
    this.#children.add(child);
    this.#tell({ type: "started", pid: child.pid });
    void child.ended.then((status) => this.#ended(child, { ...status, startedAt }));
  }

  /** The process says that it is about to end: its successor starts at once. */
  #retire(child: PoolChild): void {
    if (this.#current !== child) return;
    this.#tell({ type: "retiring", pid: child.pid });
    this.#youngDeaths = 0;
    void child.killAfter(RETIRE_MS);
    this.#current = undefined;
    this.#spawnAgain();
  }

  #ended(
    child: PoolChild,
    { code, signal, startedAt }: { code: number; signal: string | null; startedAt: number },
  ): void {
    this.#children.delete(child);
    const unexpected = this.#current === child && !this.#stopped;
    this.#tell({ type: "exited", pid: child.pid, code, signal, unexpected });
    // The server does not want it, and will not want the next one either.
    if (!unexpected || code === EXIT.unauthorized) return;
    this.#current = undefined;
    if (performance.now() - startedAt >= YOUNG_MS) this.#youngDeaths = 0;
    this.#spawnAgain();
  }

  /** At once; after deaths in a row that came too soon, not so soon. */
  #spawnAgain(): void {
    if (this.#stopped) return;
    const deaths = this.#youngDeaths++;
    const delayMs = deaths === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (deaths - 1));
    this.#restart = setTimeout(() => {
      try {
        this.#spawn();
      } catch {
        // The executable is gone, maybe only while another release takes its place.
        this.#spawnAgain();
      }
    }, delayMs);
  }

  #tell(event: PoolEvent): void {
    this.#options.onEvent?.(event);
  }
}
