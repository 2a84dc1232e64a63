/** The shared task table: who may claim what, what a take-back leaves, what a reading tells. */

import { assert, assertEquals } from "@std/assert";
import { TaskShare } from "../../../../workers/bridge/task_table.ts";

Deno.test("tasks are claimed in order, each once", () => {
  const row = new TaskShare().row;
  assert(row.claim(1, 0));
  assert(!row.claim(1, 0));
  assert(!row.claim(3, 0));
  assert(row.claim(2, 0));
  assertEquals(row.cursor, 2);
});

Deno.test("a task that was taken back is never claimed, a task posted after it is", () => {
  const row = new TaskShare().row;
  assert(row.claim(1, 0));
  assertEquals(row.takeBack(5), 1);
  for (const seq of [2, 3, 4, 5]) assert(!row.claim(seq, 0));
  assert(row.claim(6, 0));
});

Deno.test("sequence numbers wrap at 32 bits", () => {
  const row = new TaskShare().row;
  row.takeBack(2 ** 31 - 1);
  assert(row.claim(-(2 ** 31), 0));
  assertEquals(row.takeBack(-(2 ** 31) + 4), -(2 ** 31));
  assert(!row.claim(-(2 ** 31) + 1, 0));
});

Deno.test("both sides of a share see the same row and results, which do not overlap", () => {
  const share = new TaskShare();
  const other = new TaskShare(share.buffer);
  share.results.fill(7);
  assertEquals(other.row.cursor, 0);
  share.row.claim(1, 0);
  assertEquals(other.row.cursor, 1);
  assert(other.results.every((byte) => byte === 7));
});

Deno.test("the running task is shown with its start and its limit", () => {
  const row = new TaskShare().row;
  assertEquals(row.runningTask(), undefined);
  row.setRunning(true);
  row.claim(1, 1234);
  assertEquals(row.runningTask(), { seq: 1, started: 1234, timeout: 0 });
  row.describe(2, 500);
  assertEquals(row.attempt, 2);
  assertEquals(row.runningTask(), { seq: 1, started: 1234, timeout: 500 });
  row.finish(1, 40);
  assertEquals(row.runningTask(), undefined);
});

Deno.test("the running task is shown also after the tasks behind it were taken back", () => {
  const row = new TaskShare().row;
  row.setRunning(true);
  row.claim(1, 7);
  row.describe(1, 500);
  row.takeBack(9);
  assertEquals(row.runningTask(1), { seq: 1, started: 7, timeout: 500 });
});

Deno.test("the request to stop is for one task only", () => {
  const row = new TaskShare().row;
  row.cancel(5);
  assert(!row.isCancelled(4));
  assert(row.isCancelled(5));
  assert(!row.isCancelled(6));
});

Deno.test("progress is exact to a millionth, and undefined if none was reported", () => {
  const row = new TaskShare().row;
  assertEquals(row.progress, undefined);
  for (const fraction of [0, 0.25, 1 / 3, 1]) {
    row.setProgress(fraction);
    assertEquals(row.progress, Math.round(fraction * 1e6) / 1e6);
  }
  row.clearProgress();
  assertEquals(row.progress, undefined);
});
