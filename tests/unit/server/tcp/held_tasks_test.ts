/** A work link finds its tasks by small numbers, and by leases that only an engine understands. */

import { assertEquals } from "@std/assert";
import type { Lease, LeasedTask } from "../../../../server/engine/engine.ts";
import { HeldTasks } from "../../../../server/tcp/link/held_tasks.ts";

/** The record of an engine, which gives it out again under another lease. */
class Record {
  readonly op = "square";
  readonly payload = "{}";
  readonly attempt = 1;
  readonly timeoutMs = 1;
  readonly after = undefined;
  readonly history = undefined;
  constructor(readonly id: string, public lease: Lease) {}
}

const newLease = () => ({}) as Lease;

Deno.test("a held task keeps the lease under which it was handed out, whatever its record says later", () => {
  let numbers = 0;
  const held = new HeldTasks(() => ++numbers);
  const [first, second] = [newLease(), newLease()];
  const record = new Record("a", first);
  const number = held.add(record as LeasedTask);
  record.lease = second;
  assertEquals(held.leaseOf(number), first);
  assertEquals(held.numbersOf([second]), []);
  assertEquals(held.numbersOf([second, first]), [number]);
  assertEquals(held.take(number)?.id, "a");
  assertEquals([held.size, held.take(number), held.numbersOf([first])], [0, undefined, []]);
});

Deno.test("progress and logs of a held task are found by its lease, and go with it", () => {
  let numbers = 6;
  const held = new HeldTasks(() => ++numbers);
  const [lease, other] = [newLease(), newLease()];
  const task = new Record("a", lease) as LeasedTask;
  const number = held.add(task);
  held.add(new Record("b", other) as LeasedTask);
  held.setProgress(number, { fraction: 0.5 });
  held.addLog(number, task, { log: [[1, "info", "said"]] });
  assertEquals(held.progressOf(lease), { fraction: 0.5 });
  assertEquals(held.logOf(lease)?.map(({ text }) => text), ["said"]);
  assertEquals([held.progressOf(other), held.logOf(other)], [undefined, undefined]);
  held.take(number);
  assertEquals([held.progressOf(lease), held.logOf(lease), held.log(number)], [
    undefined,
    undefined,
    undefined,
  ]);
});
