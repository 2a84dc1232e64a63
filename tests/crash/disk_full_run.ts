/** A server on a disk that fills up under load, gets room again, and is killed: nothing acknowledged is lost. */

import { delay } from "@std/async/delay";
import { Random } from "../fuzz/random.ts";
import { RawClient } from "../kit/raw_client.ts";
import { Book } from "./book.ts";
import { LoadClient } from "./load_client.ts";
import { judge } from "./oracle.ts";
import { makePlan, type Round } from "./plan.ts";
import type { SmallDisk } from "./small_disk.ts";
import { faultOfStore } from "./store_check.ts";
import { Victim } from "./victim.ts";
import { drained, getAll, listIds } from "./wire_reader.ts";

const CLIENTS = 4;
/** Of room that is left when it is filled. */
const MAX_LEFT_BYTES = 512 * 1024;
const PATIENCE_MS = 60_000;

export interface DiskFullOptions {
  readonly seed: number;
  /** How often the disk fills up. */
  readonly points: number;
  readonly disk: SmallDisk;
  /** Outside of the disk. */
  readonly folder: string;
}

export interface DiskFullReport {
  readonly book: Book;
  readonly records: number;
  /** For each point: from room being there to the first acknowledgement. */
  readonly backAfterMs: readonly number[];
}

export class DiskFullRun {
  readonly #options: DiskFullOptions;
  readonly #random: Random;
  readonly #book = new Book();
  readonly #victim: Victim;
  readonly #clients: LoadClient[];
  readonly #rounds: Iterator<Round>;
  readonly #backAfterMs: number[] = [];
  #probes = 0;

  constructor(options: DiskFullOptions) {
    const { seed, disk, folder } = options;
    this.#options = options;
    this.#random = new Random(seed);
    this.#book.expected.add("storage_full");
    this.#victim = new Victim({
      engine: `sqlite:${disk.folder}/sd.db`,
      workers: 2,
      stateDir: folder,
      through: disk.through,
    });
    this.#clients = Array.from({ length: CLIENTS }, (_, i) => new LoadClient(i, this.#book));
    const random = this.#random.fork();
    const name = `d${seed}`;
    const plan = { random, rounds: Infinity, clients: CLIENTS, name };
    this.#rounds = makePlan({ ...plan, kills: ["server"] });
  }

  async run(): Promise<DiskFullReport> {
    await this.#victim.start();
    try {
      for (let point = 0; point < this.#options.points; point++) await this.#point();
      const { address } = this.#victim;
      await drained(address, PATIENCE_MS);
      const ids = await listIds(address);
      const views = (await getAll(address, ids)).filter((view) => view !== undefined);
      // The probes are no task of any client.
      judge(this.#book, views.filter(({ task_id }) => !task_id.startsWith("probe.")));
      return { book: this.#book, records: ids.length, backAfterMs: this.#backAfterMs };
    } finally {
      await this.#victim.stop();
      await Promise.all(this.#clients.map((client) => client.lost()));
    }
  }

  async #point(): Promise<void> {
    const { disk } = this.#options;
    const { address } = this.#victim;
    await Promise.all(this.#clients.map((client) => client.connect(address)));
    const playing = this.#playUntilFull();
    await delay(this.#random.int(0, 300));
    await disk.fill(this.#random.int(0, MAX_LEFT_BYTES));
    await playing;
    // It may be full for a while.
    await this.#playOnce();
    await this.#ping();
    await disk.makeRoom();
    this.#backAfterMs.push(await this.#untilBack());
    await this.#playOnce();
    for (const line of this.#victim.complaints) this.#book.faults.add("server", line);
    await this.#victim.kill();
    this.#book.kills++;
    await Promise.all(this.#clients.map((client) => client.lost()));
    await this.#checkStore();
    await this.#victim.start();
  }

  /** Load until the server has refused a task for want of room. */
  async #playUntilFull(): Promise<void> {
    const refused = () => this.#book.refusals.get("storage_full") ?? 0;
    const before = refused();
    const giveUpAt = Date.now() + PATIENCE_MS;
    while (refused() === before) {
      if (Date.now() > giveUpAt) throw new Error("the disk is full, and no task was refused");
      await Promise.all([this.#playOnce(), this.#stuff()]);
    }
  }

  async #playOnce(): Promise<void> {
    const { scripts } = this.#rounds.next().value as Round;
    await Promise.all(this.#clients.map((client, i) => client.play(scripts[i] ?? [])));
  }

  /** Large tasks, so that it does not take long. */
  async #stuff(): Promise<void> {
    using client = await RawClient.connect(this.#victim.address);
    for (let i = 0; i < 20; i++) {
      const reply = await client.ask(this.#probe("x".repeat(100_000)));
      if (reply.error?.code === "storage_full") return;
      if (reply.error) throw new Error(JSON.stringify(reply));
    }
  }

  async #ping(): Promise<void> {
    using client = await RawClient.connect(this.#victim.address);
    const reply = await client.ask({ cmd: "ping" });
    if (reply.pong !== true) throw new Error(`ping answers ${JSON.stringify(reply)}`);
  }

  /** Milliseconds until a task was acknowledged. */
  async #untilBack(): Promise<number> {
    const from = performance.now();
    using client = await RawClient.connect(this.#victim.address);
    for (;;) {
      const reply = await client.ask(this.#probe("back"));
      const ms = performance.now() - from;
      if (reply.task_id !== undefined) return ms;
      if (reply.error?.code !== "storage_full") throw new Error(JSON.stringify(reply));
      if (ms > PATIENCE_MS) throw new Error("there is room, and tasks are still refused");
      await delay(10);
    }
  }

  #probe(data: string): object {
    const id = `probe.${this.#options.seed}.${++this.#probes}`;
    return { op: "hash", data, task: { id, wait: false, keep: 1000 } };
  }

  async #checkStore(): Promise<void> {
    const { disk, folder } = this.#options;
    const copy = await Deno.makeTempDir({ dir: folder });
    await disk.copyOut("sd.db*", copy);
    const fault = await faultOfStore(`${copy}/sd.db`);
    await Deno.remove(copy, { recursive: true });
    if (fault) this.#book.faults.add("store", fault);
  }
}
