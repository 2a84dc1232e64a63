/** What every engine must do with time: spans by `now`, calendar times by the wall clock, leases by a clock of their own. */

import { assertEquals } from "@std/assert";
import type { Engine } from "../../server/engine/engine.ts";
import { newTask } from "../../server/task/new_task.ts";
import {
  type ContractTest,
  FAILED,
  LEASE_MS,
  leaseOne,
  NOW,
  OPS,
  reclaim,
  statusOf,
  submit,
  task,
} from "./contract_steps.ts";

const HOUR = 3_600_000;

/** A task that is to run at `wall`, submitted at `NOW` while the wall clock is `aheadMs` behind that. */
export function calendarTask(
  { serials }: Engine,
  wall: number,
  aheadMs: number,
  options: Record<string, unknown> = {},
) {
  const message = { op: "square", task: { at: new Date(wall).toISOString(), ...options } };
  return newTask(message, JSON.stringify(message), { now: NOW, aheadMs, serials });
}

/** The ids that are leased at `now`, and when there will be more. */
export async function leaseAt(engine: Engine, now: number, aheadMs: number) {
  const request = { ops: OPS, limit: 9, leaseUntil: now + LEASE_MS, aheadMs };
  const { tasks, nextDueAt } = await engine.lease(request, now);
  return [tasks.map(({ id }) => id), nextDueAt] as const;
}

export const TIME_TESTS: Record<string, ContractTest> = {
  async "a lease that runs out is no death and no attempt, however often"(engine, ends) {
    const [id] = await submit(engine, task(engine));
    for (let i = 0; i < 5; i++) {
      const { lease, attempt } = await leaseOne(engine);
      assertEquals(attempt, 1);
      assertEquals(await reclaim(engine, NOW + LEASE_MS, NOW), [lease]);
      assertEquals(ends.take(), []);
      assertEquals((await engine.get([id!]))[0]?.deaths, 0);
    }
    assertEquals(await statusOf(engine, id!), "queued");
  },

  async "leases run out by their own clock, not by the time"(engine) {
    await submit(engine, task(engine));
    const request = { ops: OPS, limit: 1, leaseUntil: 500 };
    const lease = (await engine.lease(request, NOW)).tasks[0]!.lease;
    assertEquals(await engine.overdue(499), []);
    assertEquals(await engine.renew([lease], 900), []);
    assertEquals(await engine.overdue(899), []);
    assertEquals(await engine.overdue(900), [lease]);
  },

  async "the times of a task are in order, even if the first is ahead of the clock"(engine) {
    const [id] = await submit(engine, { ...task(engine), createdAt: NOW + 500 });
    const { lease } = await leaseOne(engine, NOW + 100);
    await engine.ack([{ lease, result: "1" }], NOW + 200);
    const [record] = await engine.get([id!]);
    assertEquals([record?.startedAt, record?.finishedAt], [NOW + 500, NOW + 500]);
  },

  async "a time in a request is a wall clock time"(engine) {
    const wall = NOW - HOUR;
    const [at, late, span] = await submit(
      engine,
      calendarTask(engine, wall + 60_000, HOUR),
      calendarTask(engine, wall + 2 * HOUR, HOUR),
      task(engine, { task: { delay: 90_000 } }),
    );
    await engine.prune(NOW, HOUR);
    assertEquals(await statusOf(engine, at!), "delayed");
    const [record] = await engine.get([at!], { waitReasonAt: NOW });
    assertEquals([record?.runAt, record?.isCalendar], [wall + 60_000, true]);
    assertEquals(record?.waitReason, { heldBy: "time", until: wall + 60_000 });
    assertEquals(await leaseAt(engine, NOW + 59_999, HOUR), [[], NOW + 60_000]);
    assertEquals((await leaseAt(engine, NOW + 60_000, HOUR))[0], [at!]);
    assertEquals((await leaseAt(engine, NOW + 90_000, HOUR))[0], [span!]);
    // The clock is set right: the other is due an hour sooner by server time.
    assertEquals(await leaseAt(engine, NOW + HOUR - 1, 0), [[], NOW + HOUR]);
    assertEquals((await leaseAt(engine, NOW + HOUR, 0))[0], [late!]);
  },

  async "a time that has passed by the wall clock means now"(engine) {
    const [id] = await submit(engine, calendarTask(engine, NOW - HOUR - 1, HOUR));
    assertEquals((await leaseAt(engine, NOW, HOUR))[0], [id!]);
  },

  async "the backoff of a task with a time is a duration"(engine) {
    const [id] = await submit(
      engine,
      calendarTask(engine, NOW + 50, 0, { attempts: 2, backoff: 1000 }),
    );
    const { lease } = await leaseOne(engine, NOW + 50);
    await engine.nack([{ lease, reason: "failed", error: FAILED }], NOW + 60);
    // The wall clock is set back by an hour.
    assertEquals(await leaseAt(engine, NOW + 1059, HOUR), [[], NOW + 1060]);
    assertEquals((await leaseAt(engine, NOW + 1060, HOUR))[0], [id!]);
  },
};
