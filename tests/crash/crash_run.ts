/** A run: one store, a server that is killed round after round, eight clients, and the oracle at its end. */

import { delay } from "@std/async/delay";
import { Random } from "../fuzz/random.ts";
import { Book } from "./book.ts";
import { LoadClient } from "./load_client.ts";
import { judge } from "./oracle.ts";
import { type Kill, makePlan, type Round } from "./plan.ts";
import type { PrivateService } from "../kit/private_service.ts";
import { faultOfStore } from "./store_check.ts";
import { Victim } from "./victim.ts";
import { drained, getAll, listIds } from "./wire_reader.ts";

const CLIENTS = 8;
const WORKERS = 2;
const DRAIN_MS = 60_000;
const ANSWER_MS = 10_000;
const STOP_MS = 1000;

export interface CrashOptions {
  readonly seed: number;
  readonly rounds: number;
  readonly kills: readonly Kill[];
  /** How long a stop lasts, in ms. */
  readonly stopMs?: number;
  /** Tasks that one client more submits at once in each round. */
  readonly backlog?: number;
  /** Default: a durable store in a folder of the run's own. */
  readonly engine?: string;
  /** The service behind `engine`, to be killed. */
  readonly service?: PrivateService;
  readonly more?: readonly string[];
  readonly onRound?: (round: number, book: Book) => void;
}

export interface CrashReport {
  readonly book: Book;
  readonly kills: ReadonlyMap<Kill, number>;
  /** Records in the store at the end. */
  readonly records: number;
}

export async function crashRun(options: CrashOptions): Promise<CrashReport> {
  const folder = await Deno.makeTempDir({ prefix: "sd-crash-" });
  const run = new CrashRun(folder, options);
  try {
    return await run.run();
  } finally {
    await run.end();
    await Deno.remove(folder, { recursive: true });
  }
}

class CrashRun {
  readonly #options: CrashOptions;
  readonly #path: string;
  readonly #victim: Victim;
  readonly #book = new Book();
  readonly #kills = new Map<Kill, number>();
  readonly #clients: LoadClient[];
  #isUp = false;

  constructor(folder: string, options: CrashOptions) {
    this.#options = options;
    this.#path = `${folder}/sd.db`;
    const { engine = `sqlite:${this.#path}`, more = [], backlog = 0 } = options;
    const clients = CLIENTS + (backlog > 0 ? 1 : 0);
    this.#victim = new Victim({ engine, workers: WORKERS, stateDir: folder, more });
    this.#clients = Array.from({ length: clients }, (_, i) => new LoadClient(i, this.#book));
  }

  async run(): Promise<CrashReport> {
    const { seed, rounds, kills, backlog = 0, onRound } = this.#options;
    const random = new Random(seed);
    const plan = makePlan({ random, rounds, clients: CLIENTS, kills, backlog, name: `t${seed}` });
    await this.#start();
    let serial = 0;
    for (const round of plan) {
      await this.#play(round);
      onRound?.(++serial, this.#book);
    }
    return { book: this.#book, kills: this.#kills, records: await this.#judge() };
  }

  /** Whatever happened, nothing is left running. */
  async end(): Promise<void> {
    if (this.#isUp) await this.#kill();
    await Promise.all(this.#clients.map((client) => client.lost()));
  }

  async #connectAll(): Promise<void> {
    const { address } = this.#victim;
    const away = this.#clients.filter(({ isConnected }) => !isConnected);
    await Promise.all(away.map((client) => client.connect(address)));
  }

  async #play(round: Round): Promise<void> {
    await this.#connectAll();
    const playing = Promise.all(
      this.#clients.map((client, i) => client.play(round.scripts[i] ?? [])),
    );
    if (round.kill === "pool") {
      await this.#victim.killPool(round.killAfterMs);
      this.#count("pool");
      await playing;
      return;
    }
    await delay(round.killAfterMs);
    if (round.kill === "engine" || round.kill === "engine-restart") {
      await this.#killEngine(round.kill);
      await playing;
      return;
    }
    if (round.kill === "server-stop" || round.kill === "pool-stop") {
      const what = round.kill === "pool-stop" ? "pool" : "server";
      await this.#victim.pause(what, this.#options.stopMs ?? STOP_MS);
      this.#count(round.kill);
      await playing;
      return;
    }
    await this.#kill();
    this.#count("server");
    await Promise.all(this.#clients.map((client) => client.lost()));
    await playing;
    await this.#checkStore();
    if (round.kill === "start-up") {
      await this.#victim.killInStartUp(round.startUpMs);
      this.#count("start-up");
      await this.#checkStore();
    }
    await this.#start();
  }

  /** The engine dies and comes back while the server lives: clients may be cut, and come back, too. */
  async #killEngine(kill: "engine" | "engine-restart"): Promise<void> {
    const { service } = this.#options;
    if (!service) throw new Error("there is no service to kill");
    if (kill === "engine") await service.kill("SIGKILL");
    else await service.stop();
    await service.start();
    this.#count(kill);
  }

  /** Lets the server end every task, then holds what it keeps against the accounts. */
  async #judge(): Promise<number> {
    const { address } = this.#victim;
    // A client that was cut asks again for the tasks that it knows.
    await this.#connectAll();
    await drained(address, DRAIN_MS);
    await this.#answered();
    const ids = await listIds(address);
    const views = await getAll(address, ids);
    judge(this.#book, views.filter((view) => view !== undefined));
    this.#hearComplaints();
    this.#isUp = false;
    const code = await this.#victim.stop();
    if (code !== 0) this.#book.faults.add("server", `it stopped with exit code ${code}`);
    await this.#checkStore();
    return ids.length;
  }

  /** Every client whose connection lasts has its answers. */
  async #answered(): Promise<void> {
    const giveUpAt = Date.now() + ANSWER_MS;
    for (;;) {
      const left = this.#clients.flatMap(({ unanswered }) => unanswered);
      if (left.length === 0) return;
      if (Date.now() > giveUpAt) {
        for (const what of left) this.#book.faults.add("unanswered", what);
        return;
      }
      await delay(50);
    }
  }

  async #start(): Promise<void> {
    await this.#victim.start();
    this.#isUp = true;
  }

  async #kill(): Promise<void> {
    this.#hearComplaints();
    this.#isUp = false;
    await this.#victim.kill();
  }

  #count(kill: Kill): void {
    this.#book.kills++;
    this.#kills.set(kill, (this.#kills.get(kill) ?? 0) + 1);
  }

  #hearComplaints(): void {
    for (const line of this.#victim.complaints) this.#book.faults.add("server", line);
  }

  async #checkStore(): Promise<void> {
    if (this.#options.engine !== undefined) return;
    const fault = await faultOfStore(this.#path);
    if (fault) this.#book.faults.add("store", fault);
  }
}
