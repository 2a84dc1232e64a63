/** A work link finds its tasks by small numbers, and by leases that only an engine understands. */

import { assert, assertEquals } from "@std/assert";
import type { Lease, LeasedTask } from "../../../../server/engine/engine.ts";
import { SerialMap } from "../../../../server/task/serial_map.ts";
import { HeldTasks } from "../../../../server/tcp/link/held_tasks.ts";
import { newSeed, Random } from "../../../fuzz/random.ts";

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
  const held = new HeldTasks({ last: 0 });
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
  const held = new HeldTasks({ last: 6 });
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

/** How many values of serial maps `work` looks at. */
function looksIn(work: () => void): number {
  const { get, entries } = SerialMap.prototype;
  let looks = 0;
  SerialMap.prototype.get = function (serial) {
    looks++;
    return get.call(this, serial);
  };
  SerialMap.prototype.entries = function* () {
    for (const entry of entries.call(this)) {
      looks++;
      yield entry;
    }
  };
  try {
    work();
  } finally {
    Object.assign(SerialMap.prototype, { get, entries });
  }
  return looks;
}

Deno.test("a lease is found in a few steps among thousands, also while tasks come and go", () => {
  const numbers = { last: 0 };
  const links = Array.from({ length: 4 }, () => new HeldTasks(numbers));
  const handOut = (held: HeldTasks): Lease => {
    const lease = newLease();
    held.add(new Record("a", lease) as LeasedTask);
    return lease;
  };
  const count = 4000;
  const leases = Array.from({ length: count }, (_, i) => handOut(links[i % links.length]!));
  let found = 0;
  const looks = looksIn(() => {
    for (const [i, lease] of leases.entries()) {
      // The cancel asks all links, the task ends, and its place is filled.
      for (const held of links) {
        for (const number of held.numbersOf([lease])) {
          found++;
          held.take(number);
        }
      }
      handOut(links[(i * 7 + 1) % links.length]!);
    }
  });
  assertEquals(found, count);
  assert(looks < 10 * links.length * count, `${looks} looks for ${count} leases`);
});

Deno.test("a task that nothing looks for costs no look at any other", () => {
  const numbers = { last: 0 };
  const held = new HeldTasks(numbers);
  const looks = looksIn(() => {
    for (let i = 0; i < 1000; i++) held.add(new Record("a", newLease()) as LeasedTask);
    for (let number = 1; number <= 1000; number++) held.take(number);
  });
  assertEquals(looks, 0);
});

Deno.test("a lease is found exactly while it is held, whatever came and went between the looks", () => {
  const seed = newSeed();
  const random = new Random(seed);
  const numbers = { last: 0 };
  const held = new HeldTasks(numbers);
  const known = new Map<Lease, number>();
  const past: Lease[] = [];
  for (let step = 0; step < 3000; step++) {
    switch (random.pick(["add", "add", "others", "take", "look", "look", "clear"])) {
      case "add": {
        const lease = newLease();
        past.push(lease);
        known.set(lease, held.add(new Record("a", lease) as LeasedTask));
        break;
      }
      case "others":
        // Tasks of other links.
        numbers.last += random.pick([0, 1, 50]);
        break;
      case "take":
        for (const [lease, number] of known) {
          held.take(number);
          known.delete(lease);
          if (random.chance(0.5)) break;
        }
        break;
      case "look": {
        const lease = past.length > 0 ? random.pick(past.slice(-40)) : newLease();
        assertEquals(held.numberOf(lease), known.get(lease), `step ${step}, SD_SEED=${seed}`);
        break;
      }
      case "clear":
        if (random.chance(0.95)) break;
        held.clear();
        known.clear();
    }
  }
  assertEquals(held.numbersOf(past).length, known.size, `SD_SEED=${seed}`);
});
