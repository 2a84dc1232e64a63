/**
 * An engine over a PostgreSQL that is killed and started again, and whose sessions are ended, under load. Each submit that
 * was answered is there, each end is reported once, and no more ends are reported than the database has.
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import type { Engine } from "../../server/engine/engine.ts";
import { openJournaledEngine } from "../../server/engine/journaled/journaled_engine.ts";
import { SliceSweeper } from "../../server/engine/postgres/sweep.ts";
import { leaseMany, NOW, task } from "../contract/contract_steps.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { OwnPostgres, OwnSchema, withOwnPostgres, withPostgres } from "../kit/services.ts";
import { takeLead, type TestLead } from "./test_lead.ts";

/** Submits tasks and runs them, and keeps the account. */
class Load {
  readonly answered = new Set<string>();
  readonly ends = new Map<string, number>();
  readonly reports: string[] = [];
  refused = 0;
  #isOver = false;
  #n = 0;

  private constructor(readonly lead: TestLead) {}

  static async open(url: string): Promise<{ load: Load; engine: Engine }> {
    const lead = await takeLead(url, 2 ** 10);
    const load = new Load(lead);
    const { store, opened, schema } = lead;
    const report = (message: string) => void load.reports.push(message);
    const engine = await openJournaledEngine({
      name: "postgres",
      store,
      opened,
      now: NOW,
      report,
      ended: (tasks) => {
        for (const { id } of tasks) load.ends.set(id, (load.ends.get(id) ?? 0) + 1);
      },
      sweeper: new SliceSweeper({ store, schema, maxKept: 1_000_000, report }),
    });
    return { load, engine };
  }

  async submit(engine: Engine, random: Random): Promise<void> {
    while (!this.#isOver) {
      const tasks = Array.from({ length: random.int(1, 20) }, () =>
        task(engine, {
          n: this.#n++,
          task: random.chance(0.5) ? { id: `own-${this.#n}` } : { wait: random.chance(0.5) },
        }));
      for (
        const { id, outcome } of await engine.enqueue(tasks, NOW).then((enqueued) =>
          enqueued.map(({ outcome }, i) => ({ id: tasks[i]!.id, outcome }))
        )
      ) {
        if (outcome === "created") this.answered.add(id);
        else this.refused++;
      }
      await delay(random.int(0, 5));
    }
  }

  /** Runs tasks until all submits have `ended` and each of their tasks has. */
  async run(engine: Engine, ended: Promise<unknown>): Promise<void> {
    let isLast = false;
    void ended.then(() => isLast = true, () => {});
    while (!isLast || [...this.answered].some((id) => !this.ends.has(id))) {
      const leased = await leaseMany(engine, 50);
      const acks = leased.map(({ lease, id }) => ({ lease, result: JSON.stringify(id) }));
      await engine.ack(acks, NOW);
      await delay(isLast ? 20 : 1);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  /** Compares the account with what the next leader finds. */
  async settle(url: string): Promise<void> {
    assertEquals(this.reports.filter((report) => /does not work|damaged/.test(report)), []);
    const next = await takeLead(url);
    const ids = [...this.answered];
    const rows = await next.store.call("find", { ids });
    const wrong = rows.flatMap((row, i) =>
      row?.status === 3 && row.result === JSON.stringify(ids[i]) ? [] : `${ids[i]}: ${row?.status}`
    );
    assertEquals(wrong, [], "each task that was answered for has its result");
    assertEquals(ids.filter((id) => this.ends.get(id) !== 1), [], "each end is reported once");
    assertEquals([...this.ends.keys()].filter((id) => !this.answered.has(id)), []);
    await next.store.close();
  }
}

async function underLoad(url: string, faults: (load: Load) => Promise<void>): Promise<Load> {
  const random = new Random(newSeed());
  const { load, engine } = await Load.open(url);
  const working = Promise.all([1, 2, 3].map(() => load.submit(engine, random)));
  const running = load.run(engine, working);
  const lost = load.lead.store.lost.then((reason) => {
    throw new Error(`the lead has ended: ${reason}`);
  });
  const all = async () => {
    await faults(load);
    load.stop();
    await Promise.all([working, running]);
  };
  await Promise.race([all(), lost]);
  await engine.close();
  await load.settle(url);
  return load;
}

Deno.test(
  withPostgres("sessions that are ended again and again lose and repeat nothing"),
  async () => {
    await using schema = new OwnSchema();
    const times = Deno.env.get("SD_LONG") ? 100 : 8;
    const load = await underLoad(schema.url, async ({ lead }) => {
      for (let n = 0; n < times; n++) {
        await delay(200);
        const pids = [lead.session, lead.side].flatMap(({ current }) => current?.pid ?? []);
        await schema.sql(`select pg_terminate_backend(pid) from unnest('{${pids}}'::int[]) pid`);
      }
    });
    assertEquals(load.refused, 0, "no client was refused");
  },
);

Deno.test(withOwnPostgres("a PostgreSQL that is killed loses and repeats nothing"), async () => {
  await using postgres = await OwnPostgres.start();
  const times = Deno.env.get("SD_LONG") ? 20 : 2;
  await underLoad(`${postgres.url}?schema=sd`, async () => {
    for (let n = 0; n < times; n++) {
      // Long enough that sessions come back in between: a lead without an answer for 10 s ends.
      await delay(1500);
      await postgres.kill("SIGKILL");
      await postgres.start();
    }
    await delay(500);
  });
});
