/** The bridge of a server: tasks from a table of its store go in, and the bad ones are set aside. */

import { assertEquals } from "@std/assert";
import { openBridge } from "../../../../server/bridge/bridge.ts";
import type { Inbox } from "../../../../server/bridge/sql_intake.ts";
import { until } from "../../../kit/until.ts";
import { IntakeStage } from "./intake_stage.ts";

/** A table with lines, as a store keeps it. */
class Table implements Inbox {
  readonly rows: { n: number; id: string; line: string }[] = [];
  readonly refused: string[] = [];
  faults = 0;

  add(...lines: [id: string, line: string][]): void {
    for (const [id, line] of lines) this.rows.push({ n: ++this.#last, id, line });
  }

  #last = 0;

  read(limit: number): Promise<Table["rows"]> {
    if (this.faults-- > 0) return Promise.reject(new Error("the store is away"));
    return Promise.resolve(this.rows.slice(0, limit));
  }

  done(ns: readonly number[]): Promise<void> {
    for (const n of ns) this.rows.splice(this.rows.findIndex((row) => row.n === n), 1);
    return Promise.resolve();
  }

  async refuse(rows: readonly (readonly [n: number, reason: string])[]): Promise<void> {
    for (const [, reason] of rows) this.refused.push(reason.split(":")[0]!);
    await this.done(rows.map(([n]) => n));
  }
}

const SQUARE = '{"op":"square","n":4}';

Deno.test("lines of a table become tasks by their ids, and bad ones keep their reason", async () => {
  const stage = new IntakeStage();
  const inbox = new Table();
  inbox.faults = 1;
  const bridge = await openBridge({ intakes: [], inbox, parts: stage.parts });
  bridge.start();
  inbox.add(["a", SQUARE], ["b", "no JSON"], ["a", SQUARE], ["a", '{"op":"square","n":5}']);
  await until("the table is empty", () => inbox.rows.length === 0);
  assertEquals(inbox.refused.sort(), ["bad_json", "conflict"]);
  assertEquals((await stage.engine.list({ limit: 10 })).tasks.map(({ id }) => id), ["a"]);
  assertEquals(stage.metrics.intakes?.(), [
    { url: "sql:", state: "taking", taken: 2, rejected: 2, replied: 0, dropped: 0 },
  ]);
  await bridge.close();
  inbox.add(["c", SQUARE]);
  assertEquals(stage.metrics.intakes?.()[0]?.state, "stopped");
});

Deno.test("lines stay in the table while there is no room, and the bridge stops meanwhile", async () => {
  const stage = new IntakeStage({ maxQueued: 2 });
  const inbox = new Table();
  inbox.add(["a", SQUARE], ["b", SQUARE], ["c", SQUARE]);
  const bridge = await openBridge({ intakes: [], inbox, parts: stage.parts });
  bridge.start();
  await until("it waits", () => stage.metrics.intakes?.()[0]?.state === "waiting");
  await bridge.close();
  assertEquals(inbox.refused, []);
  const again = await openBridge({ intakes: [], inbox, parts: stage.parts });
  again.start();
  await stage.finish(2);
  await until("the table is empty", () => inbox.rows.length === 0);
  await again.close();
});

Deno.test("a line that waits for the workers of its op holds up no other line", async () => {
  const stage = new IntakeStage();
  const inbox = new Table();
  inbox.add(["early", '{"op":"later"}'], ["a", SQUARE]);
  const bridge = await openBridge({ intakes: [], inbox, parts: stage.parts });
  bridge.start();
  const left = () => inbox.rows.map(({ id }) => id).join();
  await until("the other is dropped", () => left() === "early");
  inbox.add(["b", SQUARE]);
  await until("the next is dropped", () => left() === "early");
  stage.ops.add("later");
  await until("the table is empty", () => left() === "");
  assertEquals(inbox.refused, []);
  await bridge.close();
});
