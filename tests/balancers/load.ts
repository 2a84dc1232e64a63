/** Tasks of many clients through a load balancer, and the account of them: each result once, and at its own client. */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { connect, type ServerAddress } from "../../client/mod.ts";

/** Least number of tasks of a load. `SD_LONG=1`: ten times as many. */
export const TASKS = Deno.env.get("SD_LONG") === "1" ? 20_000 : 2000;
const CLIENTS = 50;
/** Tasks that one client has in flight. */
const IN_FLIGHT = 8;

export class Load {
  /** Number of tasks that have ended so far. */
  ended = 0;
  /** How often a client has lost its connection. */
  losses = 0;
  readonly #address: ServerAddress;
  readonly #name: string;
  readonly #results = new Map<string, number>();
  readonly #running: Promise<void>;
  #isFinishing = false;
  #hasFailed = false;

  /** Starts it. `name` is the beginning of the ids. */
  constructor(address: ServerAddress, name: string) {
    this.#address = address;
    this.#name = name;
    const clients = Array.from({ length: CLIENTS }, (_, i) => this.#runClient(i));
    this.#running = Promise.all(clients).then(() => undefined);
    // A test can be at something else when it fails.
    this.#running.catch(() => this.#hasFailed = true);
  }

  /** Resolves when `count` more tasks have ended, or one has failed. */
  async more(count: number): Promise<void> {
    const until = this.ended + count;
    while (this.ended < until && !this.#hasFailed) await delay(5);
  }

  /**
   * Submits no more once there were `TASKS`. Rejects if a task failed, was lost, or ended at a client that is not its own.
   * Resolves with the number of tasks.
   */
  async finish(): Promise<number> {
    this.#isFinishing = true;
    await this.#running;
    assertEquals(this.#results.size, this.ended);
    assertEquals([...this.#results.values()].every((times) => times === 1), true);
    return this.ended;
  }

  async #runClient(client: number): Promise<void> {
    await using sd = await connect(this.#address, { onLost: () => void this.losses++ });
    let next = 0;
    const runSome = async () => {
      while (!this.#isFinishing || next < TASKS / CLIENTS) {
        const n = client * 1_000_000 + next++;
        const id = `${this.#name}-${n}`;
        const result = await sd.run("square", { n }, { id });
        assertEquals(result, n * n, id);
        this.#results.set(id, (this.#results.get(id) ?? 0) + 1);
        this.ended++;
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, runSome));
  }
}
