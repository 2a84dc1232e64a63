/** What every engine must do with tasks that come after others. */

import { assertEquals } from "@std/assert";
import { MAX_AFTER_CHARS } from "../../protocol/limits.ts";
import type { Engine } from "../../server/engine/engine.ts";
import {
  type ContractTest,
  FAILED,
  leaseIds,
  leaseMany,
  leaseOne,
  NOW,
  statusOf,
  submit,
  task,
} from "./contract_steps.ts";

const after = (engine: Engine, ...ids: string[]) => task(engine, { n: 9, task: { after: ids } });

async function complete(engine: Engine, id: string, result: string): Promise<void> {
  const { id: leased, lease } = await leaseOne(engine);
  assertEquals(leased, id);
  await engine.ack([{ lease, result }], NOW);
}

export const AFTER_TESTS: Record<string, ContractTest> = {
  async "a task starts when all its parents have completed, and gets their results"(
    engine,
  ) {
    const [a, b] = await submit(engine, task(engine, { n: 1 }), task(engine, { n: 2 }));
    const [child] = await submit(engine, after(engine, b!, a!, b!));
    assertEquals(await statusOf(engine, child!), "delayed");
    await complete(engine, a!, '"x"');
    assertEquals(await statusOf(engine, child!), "delayed");
    const [record] = await engine.get([child!], { waitReasonAt: NOW });
    assertEquals(record?.waitReason, { heldBy: "after", after: [b!] });
    await complete(engine, b!, '{"y":2}');
    assertEquals(await statusOf(engine, child!), "queued");
    const leased = await leaseOne(engine);
    assertEquals(leased.id, child);
    assertEquals(JSON.parse(leased.after!), { [b!]: { y: 2 }, [a!]: "x" });
    await engine.nack([{ lease: leased.lease, reason: "died" }], NOW);
    assertEquals((await leaseOne(engine)).after, leased.after, "handed on again");
  },

  async "a task whose parents have completed is queued at once"(engine) {
    const [a] = await submit(engine, task(engine));
    await complete(engine, a!, "7");
    const [enqueued] = await engine.enqueue([after(engine, a!)], NOW);
    assertEquals(enqueued?.status, "queued");
    assertEquals((await leaseOne(engine)).after, `{"${a}":7}`);
  },

  async "a task without `after` gets no results"(engine) {
    await submit(engine, task(engine));
    assertEquals((await leaseOne(engine)).after, undefined);
  },

  async "a task is cancelled if a parent does not complete, and so are its children"(
    engine,
    ends,
  ) {
    for (const end of ["failed", "stopped"] as const) {
      const [parent] = await submit(engine, task(engine));
      const [child] = await submit(engine, after(engine, parent!));
      const [grandchild] = await submit(engine, after(engine, child!));
      const { lease } = await leaseOne(engine);
      await engine.nack([{ lease, reason: end, error: FAILED }], NOW);
      assertEquals(ends.take().map(({ id }) => id).sort(), [parent!, child!, grandchild!].sort());
      assertEquals(await statusOf(engine, child!), "cancelled");
      const [record] = await engine.get([grandchild!]);
      assertEquals([record?.status, record?.cancelledFor], ["cancelled", child]);
      const [late] = await engine.enqueue([after(engine, parent!)], NOW);
      assertEquals([late?.outcome, late?.status, late?.finished?.status], [
        "created",
        "cancelled",
        "cancelled",
      ]);
      assertEquals(ends.take().map(({ id, status }) => [id, status]), [
        [late?.finished?.id, "cancelled"],
      ]);
    }
  },

  async "the end of a cancelled task is reported, then the ends of its children"(
    engine,
    ends,
  ) {
    const [parent] = await submit(engine, task(engine));
    const [child] = await submit(engine, after(engine, parent!));
    await engine.cancel([parent!], NOW);
    assertEquals(ends.take().map(({ id }) => id), [parent!, child!]);
    const again = await engine.requeue([child!], NOW);
    assertEquals(again.map(({ outcome }) => outcome), ["refused"], "its parent did not complete");
    const both = await engine.requeue([parent!, child!], NOW);
    assertEquals(both.map(({ outcome }) => outcome), ["queued", "queued"]);
    await complete(engine, parent!, "1");
    assertEquals(await leaseIds(engine), [child!]);
  },

  async "a child of an expired task is cancelled"(engine, ends) {
    const [parent] = await submit(engine, task(engine, { task: { expires: 10 } }));
    const [child] = await submit(engine, after(engine, parent!));
    await engine.prune(NOW + 10);
    assertEquals((await ends.committed(engine)).map(({ id, status }) => [id, status]), [
      [parent, "expired"],
      [child, "cancelled"],
    ]);
  },

  async "a task with an unknown parent is refused"(engine) {
    const [refused] = await engine.enqueue([after(engine, "nobody")], NOW);
    assertEquals([refused?.outcome, refused?.missing], ["no_parent", "nobody"]);
    assertEquals((await engine.stats()).tasks.delayed, 0);
  },

  async "a task can have parents and a delay, and can be cancelled while it waits"(engine) {
    const [parent] = await submit(engine, task(engine));
    const [late, gone] = await submit(
      engine,
      task(engine, { n: 2, task: { after: [parent!], delay: 500 } }),
      after(engine, parent!),
    );
    await engine.cancel([gone!], NOW);
    await complete(engine, parent!, "1");
    assertEquals(await statusOf(engine, late!), "delayed");
    assertEquals(await leaseIds(engine, 9, NOW + 499), []);
    assertEquals(await leaseIds(engine, 9, NOW + 500), [late!]);
    assertEquals(await statusOf(engine, gone!), "cancelled");
  },

  async "a long chain of children ends with its first task"(engine, ends) {
    const tasks = [task(engine)];
    while (tasks.length < 20_000) tasks.push(after(engine, tasks.at(-1)!.id));
    const chain = await submit(engine, ...tasks);
    await engine.cancel([chain[0]!], NOW);
    assertEquals(ends.take().map(({ id }) => id).toSorted(), chain.toSorted());
    assertEquals(await statusOf(engine, chain.at(-1)!), "cancelled");
  },

  async "a task fails if the results of its parents are too large"(engine, ends) {
    const half = JSON.stringify("x".repeat(MAX_AFTER_CHARS / 2));
    const ids = await submit(engine, task(engine, { n: 1 }), task(engine, { n: 2 }));
    const [child] = await submit(engine, after(engine, ...ids));
    const leases = (await leaseMany(engine, 2)).map(({ lease }) => lease);
    await engine.ack(leases.map((lease) => ({ lease, result: half })), NOW);
    assertEquals(ends.take().map(({ id }) => id), [...ids, child!]);
    assertEquals((await engine.get([child!]))[0]?.error?.code, "bad_result");
  },
};
