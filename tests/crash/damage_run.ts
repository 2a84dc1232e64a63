/**
 * Starts a server on one damaged copy of a store after another. It may refuse, naming the file, or start;
 * then all that it says is right, and what SQLite itself still finds in the file is there.
 */

import { DatabaseSync } from "node:sqlite";
import { isFinal } from "../../protocol/task.ts";
import { Random } from "../fuzz/random.ts";
import { RawClient } from "../kit/raw_client.ts";
import { NotStarted } from "../kit/sd_process.ts";
import { type Damage, damage } from "./damage.ts";
import { type End, faultOfRun, sha256 } from "./ending.ts";
import { Faults } from "./faults.ts";
import type { PlannedTask } from "./planned_task.ts";
import { copyStore } from "./store_check.ts";
import { Victim } from "./victim.ts";

const HOUR_MS = 3_600_000;
const TASKS_OF_A_KIND = 60;

type Address = { hostname: string; port: number };

export interface DamageReport {
  readonly faults: Faults;
  started: number;
  refused: number;
  /** Started, and answered an error about a task or the list of them. */
  answeredErrors: number;
  /** Started, and did not know tasks that SQLite could not find either. */
  missedSome: number;
}

export class DamageRun {
  readonly #folder: string;
  readonly #random: Random;
  readonly #tasks = new Map<string, PlannedTask>();
  readonly #report: DamageReport = {
    faults: new Faults(),
    started: 0,
    refused: 0,
    answeredErrors: 0,
    missedSome: 0,
  };

  /** Works in `folder`. */
  constructor(folder: string, seed: number) {
    this.#folder = folder;
    this.#random = new Random(seed);
  }

  async run(cases: number): Promise<DamageReport> {
    await Deno.mkdir(`${this.#folder}/whole`);
    await this.#makeStore();
    for (let i = 0; i < cases; i++) {
      const folder = `${this.#folder}/case`;
      await Deno.mkdir(folder);
      await copyStore(`${this.#folder}/whole/sd.db`, `${folder}/sd.db`);
      const harm = await damage(folder, this.#random);
      await this.#judge(folder, harm);
      await Deno.remove(folder, { recursive: true });
    }
    return this.#report;
  }

  /** Ended and delayed tasks, some in the database, some in its WAL. */
  async #makeStore(): Promise<void> {
    const victim = this.#victim(`${this.#folder}/whole`);
    await victim.start();
    await submit(victim.address, this.#make("first"));
    // A server that stops in order leaves everything in the database.
    await victim.stop();
    await victim.start();
    await submit(victim.address, this.#make("second"));
    await victim.kill();
  }

  #make(name: string): PlannedTask[] {
    const tasks: PlannedTask[] = [];
    for (let i = 0; i < TASKS_OF_A_KIND; i++) {
      const mark = `${name}-mark-${i}-`;
      const text = mark + "x".repeat(this.#random.int(0, 9000));
      const task = (kind: string, rest: Omit<PlannedTask, "serial">) =>
        tasks.push({
          serial: 0,
          ...rest,
          options: { ...rest.options, id: `${name}.${kind}.${i}` },
        });
      const echo = { is: "completes", result: text } as const;
      task("echo", { op: "echo", args: { data: text }, options: {}, ending: echo });
      const hash = { is: "completes", result: sha256(mark, 1) } as const;
      task("hash", { op: "hash", args: { data: mark }, options: {}, ending: hash });
      const fails = { is: "fails", mark } as const;
      task("fail", { op: "square", args: { n: mark }, options: {}, ending: fails });
      const later = { delay: HOUR_MS, priority: i };
      task("later", { op: "echo", args: { data: mark }, options: later, ending: echo });
    }
    for (const task of tasks) this.#tasks.set(task.options.id!, task);
    return tasks;
  }

  async #judge(folder: string, harm: Damage): Promise<void> {
    const report = this.#report;
    const name = `${harm.file}, ${harm.how} at ${harm.at}`;
    const found = findIds(folder);
    const victim = this.#victim(folder);
    try {
      await victim.start();
    } catch (error) {
      if (!(error instanceof NotStarted)) throw error;
      report.refused++;
      const text = error.lines.join("\n");
      if (error.code !== 2 || !text.includes(folder) || /\bat .*:\d+:\d+/.test(text)) {
        report.faults.add("server", `${name}: ended with ${error.code}: ${text}`);
      }
      return;
    }
    report.started++;
    try {
      await this.#judgeAnswers(victim.address, name, found);
    } catch (error) {
      report.faults.add("server", `${name}: ${error instanceof Error ? error.message : error}`);
    }
    await victim.kill();
  }

  async #judgeAnswers(address: Address, name: string, found: readonly string[]): Promise<void> {
    const report = this.#report;
    const ids = [...this.#tasks.keys()];
    using client = await RawClient.connect(address);
    await client.sendObjects(...ids.map((task_id) => ({ cmd: "get", task_id, ref: task_id })));
    const missing = new Set<string>();
    let errors = 0;
    for (let i = 0; i < ids.length; i++) {
      const view = await client.object();
      if (view.error?.code === "not_found") missing.add(view.ref);
      else if (view.status === undefined) errors++;
      else {
        const task = this.#tasks.get(view.ref)!;
        const fault = isFinal(view.status) ? faultOfEnd(task, view) : undefined;
        if (fault || view.task_id !== view.ref || view.op !== task.op) {
          report.faults.add("wrong result", `${name}: ${fault ?? ""} ${JSON.stringify(view)}`);
        }
      }
    }
    errors += await this.#judgeList(client, name);
    const lost = found.filter((id) => missing.has(id));
    if (lost.length > 0) report.faults.add("lost", `${name}: SQLite finds ${lost.slice(0, 5)}`);
    if (missing.size === ids.length) report.faults.add("lost", `${name}: it started empty`);
    if (missing.size > 0) report.missedSome++;
    if (errors > 0) report.answeredErrors++;
  }

  /** Finds no task that was not submitted; returns the number of errors in the replies. */
  async #judgeList(client: RawClient, name: string): Promise<number> {
    const page = await client.ask({ cmd: "list", limit: 1000 });
    if (page.error) return 1;
    for (const { task_id } of page.tasks) {
      if (!this.#tasks.has(task_id)) this.#report.faults.add("invented", `${name}: ${task_id}`);
    }
    return 0;
  }

  #victim(folder: string): Victim {
    return new Victim({ engine: `sqlite:${folder}/sd.db`, workers: 1, stateDir: this.#folder });
  }
}

/** A task is delayed for an hour, or it came to the only end it can have. */
function faultOfEnd(task: PlannedTask, end: End): string | undefined {
  if (task.options.delay !== undefined) return "is final, an hour too soon:";
  return faultOfRun(task.ending, 1, end);
}

async function submit(address: Address, tasks: readonly PlannedTask[]): Promise<void> {
  using client = await RawClient.connect(address);
  let left = 0;
  for (const { op, args, options } of tasks) {
    const wait = options.delay === undefined;
    left += wait ? 2 : 1;
    await client.sendObjects({ op, ...args, task: { ...options, wait } });
  }
  for (; left > 0; left--) {
    const reply = await client.object();
    if (reply.error && reply.status === undefined) throw new Error(JSON.stringify(reply));
  }
}

/** The ids that SQLite reads from what is left; none where it reads nothing. */
function findIds(folder: string): string[] {
  const copy = Deno.makeTempDirSync();
  try {
    for (const name of ["sd.db", "sd.db-wal"]) {
      Deno.copyFileSync(`${folder}/${name}`, `${copy}/${name}`);
    }
    const database = new DatabaseSync(`${copy}/sd.db`);
    try {
      return database.prepare("SELECT id FROM tasks NOT INDEXED").all()
        .map(({ id }) => id instanceof Uint8Array ? new TextDecoder().decode(id) : String(id));
    } finally {
      database.close();
    }
  } catch {
    // It cannot read this at all, so no one state is the right one.
    return [];
  } finally {
    Deno.removeSync(copy, { recursive: true });
  }
}
