/** Tasks from a table of the store: a row is dropped once its task is committed. */

import { assertEquals } from "@std/assert";
import { SqlIntake } from "../../../../server/bridge/sql_intake.ts";
import { IntakeStage } from "./intake_stage.ts";

Deno.test("a server that stops drops the rows whose tasks it still commits", async () => {
  const stage = new IntakeStage();
  const { entry } = stage;
  const submitted = Promise.withResolvers<void>();
  const committed = Promise.withResolvers<void>();
  const submit = entry.submit.bind(entry);
  entry.submit = async (tasks) => {
    submitted.resolve();
    await committed.promise;
    return await submit(tasks);
  };
  const rows = [{ n: 7, id: "t-1", line: '{"op":"square","n":4}' }];
  const dropped: number[] = [];
  const intake = new SqlIntake({
    server: stage.parts,
    inbox: {
      read: () => Promise.resolve(rows),
      done: (ns) => (dropped.push(...ns), Promise.resolve()),
      refuse: () => Promise.resolve(),
    },
  });
  intake.start();
  await submitted.promise;
  const closed = intake.close();
  committed.resolve();
  await closed;
  assertEquals([dropped, (await stage.engine.stats()).tasks.queued], [[7], 1]);
});
