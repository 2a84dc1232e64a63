/** How many tasks travel at a time, by what they take. */

import { assert, assertEquals } from "@std/assert";
import { MAX_CREDIT } from "../../../../protocol/limits.ts";
import {
  capacityOf,
  creditFor,
  depthOf,
  isWorthReporting,
  loadOf,
  MAX_DEPTH,
  patienceOf,
  shareOf,
  WAKE_MICROS,
} from "../../../../workers/pool/pace.ts";

Deno.test("quick tasks travel in large batches, slow ones one by one", () => {
  assertEquals(depthOf(1), MAX_DEPTH);
  assertEquals(depthOf(100), 20);
  assertEquals(depthOf(1000), 2);
  assertEquals(depthOf(2000), 1);
  assertEquals(depthOf(10_000), 1);
  assertEquals(depthOf(60_000_000), 1);
});

Deno.test("of slow tasks a worker has one more in hand, of very slow ones none", () => {
  for (const micros of [2000, 10_000, 25_000]) {
    assertEquals(capacityOf(micros), 2);
    assertEquals(shareOf({ micros, held: 0, waiting: 50 }), 1);
    assertEquals(shareOf({ micros, held: 1, waiting: 50 }), 1);
    assertEquals(shareOf({ micros, held: 2, waiting: 50 }), 0);
  }
  for (const micros of [26_000, 1_000_000]) {
    assertEquals(shareOf({ micros, held: 0, waiting: 50 }), 1);
    assertEquals(shareOf({ micros, held: 1, waiting: 50 }), 0);
  }
});

Deno.test("an idle worker gets enough tasks to be worth waking, a busy one a whole batch", () => {
  assertEquals(shareOf({ micros: 2, held: 0, waiting: 1000 }), WAKE_MICROS / 2);
  assertEquals(shareOf({ micros: 2, held: WAKE_MICROS / 2, waiting: 1000 }), MAX_DEPTH);
  assertEquals(shareOf({ micros: 2, held: 0, waiting: 3 }), 3);
  assertEquals(shareOf({ micros: 2, held: MAX_DEPTH + 1, waiting: 1000 }), 0);
});

Deno.test("a worker never holds more than its capacity", () => {
  for (const micros of [1, 7, 33, 100, 400, 900, 1999]) {
    for (let held = 0; held <= capacityOf(micros); held++) {
      const share = shareOf({ micros, held, waiting: 10_000 });
      assert(share >= 0 && held + share <= capacityOf(micros), `${micros} µs, ${held} held`);
    }
  }
});

Deno.test("a worker that is late counts as busy for as long as nothing was heard of it", () => {
  assertEquals(loadOf({ micros: 2, held: 10, quietMicros: 100 }), 20);
  assertEquals(loadOf({ micros: 2, held: 10, quietMicros: 5000 }), 5000);
  assertEquals(loadOf({ micros: 2, held: 0, quietMicros: 5_000_000 }), 0);
});

Deno.test("a pool of slow tasks holds only the running ones, a pool of 10 ms tasks also the next ones", () => {
  assertEquals(creditFor([1e6, 1e6, 1e6, 1e6]), 4);
  assertEquals(creditFor([100_000, 100_000, 100_000, 100_000]), 4);
  assertEquals(creditFor([26_000, 26_000]), 2);
  assertEquals(creditFor([10_000, 10_000]), 4);
  assertEquals(creditFor([3000, 3000]), 4);
});

Deno.test("the patience with a task follows the run times, and is never below 10 ms", () => {
  assertEquals(patienceOf(2), 10);
  assertEquals(patienceOf(1000), 10);
  assertEquals(patienceOf(20_000), 40);
});

Deno.test("a pool of quick tasks holds more than its workers do, within the limit", () => {
  assert(creditFor([2, 2]) > 2 * capacityOf(2));
  assertEquals(creditFor(Array(1000).fill(1)), MAX_CREDIT);
});

Deno.test("one worker with a long task does not reduce the credit of the others", () => {
  assertEquals(creditFor([2, 2, 2, 10e6]), creditFor([2, 2, 2]) + 1);
});

Deno.test("small changes of credit are not reported, a change by one of few tasks is", () => {
  assert(!isWorthReporting(1024, 1100));
  assert(isWorthReporting(1024, 800));
  assert(isWorthReporting(5, 4));
  assert(!isWorthReporting(4, 4));
});
