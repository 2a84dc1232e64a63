/** A decent client beside the fuzzer: its tasks must get the right results, whatever the others send. */

import { delay } from "@std/async/delay";
import { RawClient } from "../kit/raw_client.ts";
import { Fault } from "./fuzz_connection.ts";

const PAUSE_MS = 20;
const QUIET_MS = 30_000;

export class ProbeClient implements Disposable {
  asked = 0;
  readonly #client: RawClient;
  /** Connections that are open beside this client's alone: its own, and sometimes one of the workers. */
  #connections = 0;

  private constructor(client: RawClient) {
    this.#client = client;
  }

  static async connect(address: { hostname: string; port: number }): Promise<ProbeClient> {
    const probe = new ProbeClient(await RawClient.connect(address));
    await probe.#square();
    probe.#connections = (await probe.#client.ask({ cmd: "stats" })).connections;
    return probe;
  }

  /** Squares numbers until `signal`; throws a `Fault` at the first wrong answer. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#square();
      await delay(PAUSE_MS);
    }
  }

  /** Waits until the other connections are closed, cancels what they left, sees that nothing is left. */
  async quiet(): Promise<void> {
    const end = performance.now() + QUIET_MS;
    for (;;) {
      await this.#cancelAll();
      const { tasks, connections, workers } = await this.#client.ask({ cmd: "stats" });
      const left = tasks.queued + tasks.running + tasks.delayed + workers.running;
      const open = connections - this.#connections;
      if (left === 0 && open === 0) break;
      if (performance.now() > end) {
        throw new Fault(
          `left behind: ${JSON.stringify(tasks)}, ${open} connections, ${workers.running} leases`,
        );
      }
      await delay(50);
    }
    await this.#square();
  }

  [Symbol.dispose](): void {
    this.#client[Symbol.dispose]();
  }

  async #square(): Promise<void> {
    const n = ++this.asked;
    const acknowledged = await this.#client.ask({ op: "square", n });
    const final = await this.#client.object();
    if (final.task_id !== acknowledged.task_id || final.result !== n * n) {
      throw new Fault(`the square of ${n} came out as ${JSON.stringify([acknowledged, final])}`);
    }
  }

  async #cancelAll(): Promise<void> {
    for (const status of ["queued", "delayed", "running"]) {
      const { tasks } = await this.#client.ask({ cmd: "list", status, limit: 1000 });
      // It may have ended in the meantime: any answer will do.
      for (const { task_id } of tasks) await this.#client.ask({ cmd: "cancel", task_id });
    }
  }
}
