/**
 * A takeover races with commits of the old leader. A commit that the old leader was told of is seen by the new one from its
 * first read on; a commit that was refused is never seen; and nothing is written once the takeover is made.
 */

import { assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import { named } from "../../server/engine/postgres/schema.ts";
import { newSeed, Random } from "../fuzz/random.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { insertOf, writeOf } from "./rows.ts";
import { takeLead, testSession } from "./test_lead.ts";

const TIMES = Deno.env.get("SD_LONG") ? 1000 : 10;

/** How the new leader reads the rows: all of the old leader, and no others. */
const ROWS = (schema: string) =>
  `select coalesce(string_agg(ord::text, ',' order by ord), '') from ${named(schema, "task")}`;

interface Race {
  /** Texts of the takeover, with a pause in ms after each. */
  readonly takeover: (schema: string, random: Random) => readonly (readonly [string, number])[];
  /** The pause of a commit that is under way, in ms. */
  readonly slowMs: (random: Random) => number;
}

const UPDATE = (schema: string) =>
  `update ${named(schema, "lead")} set epoch = epoch + 1, token = gen_random_uuid()`;

async function race({ takeover, slowMs }: Race): Promise<{ made: number; refused: number }> {
  const seed = newSeed();
  const random = new Random(seed);
  await using schema = new OwnSchema();
  const next = testSession(schema.url);
  let [made, refused] = [0, 0];
  for (let n = 0; n < TIMES; n++) {
    const old = await takeLead(schema.url, 2 ** 16);
    const { store, opened } = old;
    if (n === 0) {
      await schema.sql(`create function slow() returns trigger language plpgsql as
        'begin perform pg_sleep(current_setting(''sd.slow'', true)::float); return null; end'`);
    }
    const first = opened.next;
    // Makes the slice, whose rows are then slow.
    await store.call("write", writeOf({ inserts: insertOf(first) }));
    const slice = await schema.sql(
      `select tablename from pg_tables where schemaname = '${schema.name}' and tablename like 'task\\_%'
        order by length(tablename) desc, tablename desc limit 1`,
    );
    const slowS = slowMs(random) / 1000;
    if (slowS > 0) {
      await old.session.query({ text: `set sd.slow = '${slowS}'` });
      await schema.sql(`create trigger slow after insert on ${slice}
        for each statement execute function slow()`);
    }
    const answered: number[] = [first];
    const wrong: string[] = [];
    const writes = [1, 2, 3].map(async (i) => {
      await delay(random.int(0, 12));
      try {
        await store.call("write", writeOf({ inserts: insertOf(first + i) }));
        answered.push(first + i);
      } catch (error) {
        if (!(error instanceof StoreError) || error.fault !== "fenced") wrong.push(`${error}`);
      }
    });
    await delay(random.int(0, 10));
    await next.ready();
    for (const [text, pauseMs] of takeover(schema.name, random)) {
      await next.query({ text });
      await delay(pauseMs);
    }
    const seen = async () => {
      const rows = await next.query<unknown[]>({ text: ROWS(schema.name), array: true });
      const ords = String(rows[0]?.[0]).split(",").map(Number);
      return ords.filter((ord) => ord >= first);
    };
    const atFirst = await seen();
    await Promise.all(writes);
    answered.sort((a, b) => a - b);
    assertEquals([wrong, atFirst], [[], answered], `seed ${seed}, race ${n}`);
    assertEquals(await seen(), answered, `seed ${seed}, race ${n}: nothing came later`);
    made += answered.length - 1;
    refused += 4 - answered.length;
    await store.close();
    await schema.sql(
      `delete from task where ord >= ${first}; drop trigger if exists slow on ${slice}`,
    );
  }
  await next.close();
  return { made, refused };
}

Deno.test(
  withPostgres("a commit waits for a takeover that is under way, and then changes nothing"),
  async () => {
    const { refused } = await race({
      takeover: (schema, random) => [
        ["begin", 0],
        [UPDATE(schema), random.int(0, 15)],
        ["commit", 0],
      ],
      slowMs: () => 0,
    });
    assertEquals(refused > 0, true, "some commits came too late");
  },
);

Deno.test(
  withPostgres("a takeover waits for a commit that is under way, and then sees it"),
  async () => {
    const { made } = await race({
      takeover: (schema) => [[UPDATE(schema), 0]],
      slowMs: (random) => random.int(1, 20),
    });
    assertEquals(made > 0, true, "some commits were under way");
  },
);
