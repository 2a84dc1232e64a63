/**
 * The claims of the store contract about leads, for stores that servers share, and about writes whose answers never came, for
 * stores that can be cut off.
 */

import { assert, assertEquals } from "@std/assert";
import { delay } from "@std/async/delay";
import { StoreError } from "../../server/engine/journaled/task_store.ts";
import type { StoreTest } from "./store_contract.ts";
import { completed, inserts, NO_CHANGE, ords, PLENTY, task, updates } from "./store_rows.ts";
import { allTasks, find, outboxOf, rejection } from "./store_steps.ts";

const TAKEOVERS = Deno.env.get("SD_LONG") ? 1000 : 15;
const CUTS = Deno.env.get("SD_LONG") ? 1000 : 25;

const SHARED: Record<string, StoreTest> = {
  async "after a takeover the old leader writes nothing, reads nothing and learns of its end"(
    { open },
  ) {
    const old = await open();
    await old.store.call("write", inserts([task(1)]));
    const next = await open();
    const write = rejection(old.store.call("write", inserts([task(2)])));
    const read = rejection(old.store.call("find", { ids: [task(1).id] }));
    assertEquals((await write).fault, "fenced");
    assertEquals((await read).fault, "fenced");
    assert(await old.store.lost, "it says why");
    assertEquals((await rejection(old.store.call("write", inserts([task(3)])))).fault, "fenced");
    assertEquals(ords(await allTasks(next.store)), [1]);
    await next.store.call("write", updates([{ task: completed(1), was: "queued" }]));
    assertEquals(await find(next.store, [completed(1)]), [completed(1)]);
  },

  async "a leader numbers its tasks above all that the ones before it have stored"({ open }) {
    let last = 0;
    for (let i = 0; i < 3; i++) {
      const { store, opened: { next } } = await open();
      assert(next > last, `${next} comes after ${last}`);
      last = next + 1;
      await store.call("write", inserts([task(next, { seq: last })]));
    }
  },

  async "in a race with a takeover, the new leader sees exactly the writes that were answered"(
    { open },
    random,
  ) {
    let ord = 1;
    let lead = await open();
    for (let i = 0; i < TAKEOVERS; i++) {
      const outcomes: Promise<[ord: number, isKept: boolean]>[] = [];
      const old = lead;
      for (let burst = random.int(1, 12); burst > 0; burst--) {
        const mine = ord++;
        const write = {
          ...inserts([task(mine)]),
          settings: [["last", String(mine)] as const],
          outbox: [["to", String(mine)] as const],
        };
        outcomes.push(
          old.store.call("write", write).then(() => [mine, true] as [number, boolean], (error) => {
            assertEquals((error as StoreError).fault, "fenced");
            return [mine, false];
          }),
        );
        if (random.chance(0.3)) await delay(random.int(0, 2));
      }
      lead = await open();
      const settled = await Promise.all(outcomes);
      const first = settled[0]![0];
      const seen = new Set(ords((await allTasks(lead.store)).filter((row) => row.ord >= first)));
      const kept = settled.filter(([, isKept]) => isKept).map(([ord]) => ord);
      for (const ord of kept) assert(seen.has(ord), `task ${ord} was acknowledged`);
      // A write that was made while its answer was on the way may be refused to its writer, but is then whole.
      const rows = new Set((await outboxOf(lead.store)).map(({ body }) => Number(body)));
      for (const [ord] of settled) {
        assertEquals(rows.has(ord), seen.has(ord), `task ${ord} is whole`);
      }
      // From now on nothing of the old leader arrives.
      await delay(5);
      const later = ords((await allTasks(lead.store)).filter((row) => row.ord >= first));
      assertEquals(new Set(later), seen);
    }
  },
};

const CUT: Record<string, StoreTest> = {
  async "if connections are cut, a write that is answered is kept, and one that fails is not"(
    { open, cut },
    random,
  ) {
    const { store } = await open();
    const kept: number[] = [];
    const failed: number[] = [];
    for (let i = 0; i < CUTS; i++) {
      const burst = Array.from({ length: random.int(1, 6) }, (_, at) => 100 * i + at + 1);
      const outcomes = burst.map(async (ord) => {
        try {
          const write = { ...inserts([task(ord)]), outbox: [["to", String(ord)] as const] };
          await store.call("write", write);
          kept.push(ord);
        } catch (error) {
          assert(error instanceof StoreError && error.fault === "io", String(error));
          failed.push(ord);
        }
      });
      const waitMs = random.pick([0, 0, 0, 1, 2, 5]);
      if (waitMs > 0) await delay(waitMs);
      cut();
      await Promise.all(outcomes);
    }
    const there = ords(await allTasks(store));
    assertEquals(there, kept.toSorted((a, b) => a - b), `failed: ${failed}`);
    const published = (await outboxOf(store)).map(({ body }) => Number(body));
    assertEquals(published.toSorted((a, b) => a - b), there, "nothing is made twice");
  },

  async "if connections are cut, an update is made once, and reads are answered"(
    { open, cut },
    random,
  ) {
    const { store } = await open();
    const tasks = Array.from({ length: CUTS }, (_, i) => task(i + 1));
    await store.call("write", inserts(tasks));
    for (const { ord } of tasks) {
      const written = store.call("write", {
        ...updates([{ task: completed(ord), was: "queued" }]),
        settings: [["last", String(ord)]],
      });
      const read = store.call("find", { ids: [task(ord).id] });
      if (random.chance(0.5)) await delay(random.int(0, 3));
      cut();
      await written;
      assertEquals(await read, [completed(ord)]);
    }
    const lane = { priority: 0, key: null, op: "square", seq: 0, ...PLENTY };
    assertEquals(await store.call("lane", lane), []);
    await store.call("write", NO_CHANGE);
  },
};

export const LEAD_TESTS = { shared: SHARED, cut: CUT };
