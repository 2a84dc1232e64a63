/** The counts of a store that was opened are those of its opening, whatever is written meanwhile. */

import { assertEquals } from "@std/assert";
import { countTasks } from "../../server/engine/postgres/counting.ts";
import { OwnSchema, withPostgres } from "../kit/services.ts";
import { insertOf, writeOf } from "./rows.ts";
import { takeLead, testSession } from "./test_lead.ts";

Deno.test(
  withPostgres("tasks are counted by status, op and slice, as they were when the count began"),
  async () => {
    await using schema = new OwnSchema();
    const { store, opened } = await takeLead(schema.url, 16);
    assertEquals([opened.counts, opened.queuedOps], [[0, 0, 0, 0, 0, 0, 0], []]);
    const from = opened.next;
    const inserts = Array.from(
      { length: 40 },
      (_, n) => insertOf(from + n, { status: n % 4, op: n % 8 === 0 ? "one\0" : "two" }),
    );
    await store.call("write", writeOf({ inserts: inserts.flat() }));
    const session = testSession(schema.url);
    await session.ready();
    const { begun, counts } = countTasks(session, schema.name);
    await begun;
    await store.call("write", writeOf({ inserts: insertOf(from + 100) }));
    const counted = await counts;
    assertEquals(counted.counts, [10, 10, 10, 10, 0, 0, 0]);
    assertEquals(new Map(counted.queuedOps), new Map([["one\0", 5], ["two", 5]]));
    assertEquals([...counted.slices.values()].reduce((sum, n) => sum + n), 40);
    assertEquals(counted.slices.size >= 3, true);
    await session.close();
    await store.close();
    const again = await takeLead(schema.url);
    assertEquals(again.opened.counts, [11, 10, 10, 10, 0, 0, 0]);
    assertEquals(again.opened.lanes.length, 3);
    await again.store.close();
  },
);
