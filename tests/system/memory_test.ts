/** A worker's share of memory, with real Web Workers that exceed it in every way and at every speed. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { TestPool } from "../kit/test_pool.ts";

const MIB = 1024 * 1024;
const SHARE_MIB = 96;

function poolOf(workers: number): TestPool {
  return new TestPool(workers, { maxMemoryBytes: SHARE_MIB * MIB });
}

/** A pool whose workers have loaded. */
async function warmPoolOf(workers: number): Promise<TestPool> {
  const test = poolOf(workers);
  for (const lease of test.run(...Array(workers).fill({ op: "busy", ms: 100 }))) {
    await test.endOf(lease);
  }
  return test;
}

for (const kind of ["heap", "buffer"]) {
  Deno.test(`a task that awaits and takes too much (${kind}) costs its worker, and nothing else`, async () => {
    using test = poolOf(2);
    const [neighbour, guilty] = test.run(
      { op: "steps" },
      { op: "hoard_slowly", kind, mib: 1000, ms: 60_000 },
    );
    const { error, retry } = await test.endOf(guilty!);
    assertEquals([error.code, retry], ["out_of_memory", false]);
    assertStringIncludes(error.message, "--max-memory");
    assertEquals((await test.endOf(neighbour!)).result, "walked");
    for (let n = 0; n < 20; n++) {
      assertEquals((await test.result({ op: "square", n })).result, n * n);
    }
    assertEquals([test.workersStarted, test.stuckTasks], [3, []]);
  });
}

Deno.test("memory that no worker reports is attributed to the task that runs alone", async () => {
  using test = poolOf(1);
  const { error } = await test.result({ op: "hoard_slowly", kind: "wasm", mib: 1000, ms: 60_000 });
  assertEquals(error.code, "out_of_memory");
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
  assertEquals(test.workersStarted, 2);
});

for (const kind of ["heap", "buffer"]) {
  Deno.test(`a task that never yields and takes too much memory (${kind}) is reported as stuck, and no other`, async () => {
    using test = poolOf(3);
    const [guilty, ...others] = test.run(
      { op: "hoard", kind, mib: 600, ms: 1500 },
      { op: "steps" },
      { op: "sleep", ms: 400 },
    );
    await test.until(() => test.stuckTasks.length > 0);
    assertEquals((await test.endOf(others[0]!)).result, "walked");
    assertEquals((await test.endOf(others[1]!)).result, 400);
    // This task ends in the end. A pool that must outlive it reports the run for which the server waits.
    assertEquals((await test.endOf(guilty!)).error.code, "out_of_memory");
    assertEquals(test.stuckTasks, [[guilty, "memory"]]);
  });
}

Deno.test("if two tasks can have taken the memory, both are suspects, and no third", async () => {
  using test = await warmPoolOf(3);
  const [one, other, third] = test.run(
    { op: "hoard", kind: "buffer", mib: 700, ms: 1000 },
    { op: "busy", ms: 3000 },
    { op: "steps" },
  );
  await test.until(() => test.stuckTasks.length > 0);
  assertEquals(test.stuckTasks.toSorted(), [[one, "suspect"], [other, "suspect"]]);
  for (const lease of [one, other, third]) assert((await test.endOf(lease!)).result);
});

Deno.test("tasks can use their whole share, in sequence and side by side", async () => {
  using test = poolOf(2);
  const tasks = ["heap", "buffer", "buffer", "heap"].flatMap((kind) => [
    { op: "hoard", kind, mib: 60, ms: 150 },
    { op: "hoard_slowly", kind, mib: 60, ms: 150 },
    { op: "busy", ms: 120 },
  ]);
  for (const [i, lease] of test.run(...tasks, ...tasks).entries()) {
    const { result, error } = await test.endOf(lease);
    assert(result, `task ${i}: ${JSON.stringify(error)}`);
  }
  assertEquals(test.stuckTasks, []);
});

Deno.test("a worker in which tasks leave much memory is replaced, and no later task fails for it", async () => {
  using test = poolOf(1);
  for (let n = 0; n < 6; n++) {
    assertEquals((await test.result({ op: "leak", kind: "buffer", mib: 60 })).result, 60);
    assertEquals((await test.result({ op: "hoard", kind: "heap", mib: 60, ms: 200 })).result, 60);
  }
  assert(test.workersStarted > 6, `${test.workersStarted} workers were started`);
  assertEquals(test.stuckTasks, []);
});

Deno.test("a worker that is never idle is also replaced if tasks leave much memory in it", async () => {
  using test = poolOf(1);
  const leases = test.run(
    ...Array.from({ length: 200 }, () => ({ op: "leak", kind: "buffer", mib: 3 })),
    ...Array(100).fill({ op: "busy", ms: 5 }),
  );
  for (const lease of leases) assert((await test.endOf(lease)).result);
  assert(test.workersStarted > 3, `${test.workersStarted} workers were started`);
});

Deno.test("a string of half a gigabyte is refused as a result, and the pool goes on", async () => {
  using test = new TestPool(1);
  const { error } = await test.result({ op: "large", chars: 2 ** 29 - 24 });
  assertEquals(error.code, "bad_result");
  const beyond = await test.result({ op: "large", chars: 2 ** 30 });
  assertEquals(beyond.error.code, "task_error");
  assertEquals((await test.result({ op: "square", n: 3 })).result, 9);
});
