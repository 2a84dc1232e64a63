/** Why a task does not run: each reason in its words, and which reason goes before which. */

import { assertEquals } from "@std/assert";
import type { Status } from "../../../../protocol/task.ts";
import { type Surroundings, whyOf } from "../../../../server/api/why.ts";
import type { TaskRecord, WaitReason } from "../../../../server/engine/engine.ts";
import { DEFAULT_RULES } from "../../../../server/task/new_task.ts";

const AT = Date.UTC(2030, 0, 31, 8);
const AT_TEXT = "2030-01-31T08:00:00.000Z";

function record(more: Partial<TaskRecord>): TaskRecord {
  return {
    id: "t",
    idGiven: true,
    op: "resize",
    payload: '{"op":"resize"}',
    status: "queued",
    rules: { ...DEFAULT_RULES, attempts: 3 },
    keyLimit: undefined,
    after: [],
    attempt: 0,
    deaths: 0,
    expiresAt: Infinity,
    lease: undefined,
    createdAt: AT - 1000,
    runAt: AT - 1000,
    startedAt: 0,
    finishedAt: 0,
    result: undefined,
    error: undefined,
    cancelledFor: undefined,
    history: undefined,
    ...more,
  };
}

const FREE: Surroundings = {
  progress: undefined,
  isStopping: false,
  paused: undefined,
  workers: 4,
  hasRoom: true,
  parentStatus: undefined,
};

function say(
  waitReason: WaitReason,
  around: Partial<Surroundings> = {},
  more: Partial<TaskRecord> = {},
) {
  const { code, why } = whyOf(record({ ...more, waitReason }), { ...FREE, ...around });
  return [code, why];
}

function sayFinal(status: Status, more: Partial<TaskRecord>, parentStatus?: Status) {
  const final = record({ status, finishedAt: AT, ...more });
  return whyOf(final, { ...FREE, parentStatus }).why;
}

Deno.test("a task in the queue says how many are before it, and whether anyone is free", () => {
  const busy = { hasRoom: false };
  assertEquals(
    whyOf(record({ waitReason: { heldBy: "turn", ahead: 1204 } }), { ...FREE, ...busy }),
    {
      task_id: "t",
      status: "queued",
      code: "workers_busy",
      why: "it waits for its turn: 1,204 tasks are before it",
      ahead: 1204,
    },
  );
  assertEquals(say({ heldBy: "turn", ahead: 1 }), [
    "next",
    "it waits for its turn: 1 task is before it",
  ]);
  assertEquals(say({ heldBy: "turn", ahead: 0 }), ["next", "it is the next to be started"]);
  assertEquals(say({ heldBy: "turn", ahead: 0 }, busy), [
    "workers_busy",
    'it is the next, but all 4 workers of op "resize" are busy',
  ]);
  assertEquals(say({ heldBy: "turn", ahead: 0 }, { ...busy, workers: 1 }), [
    "workers_busy",
    'it is the next, but the one worker of op "resize" is busy',
  ]);
});

Deno.test("a delay and a backoff say when they are over", () => {
  const until = { heldBy: "time", until: AT } as const;
  assertEquals(say(until, {}, { status: "delayed" }), [
    "delayed",
    `it is delayed until ${AT_TEXT}`,
  ]);
  const failed = { attempt: 1, error: { code: "task_error", message: "no disk" } } as const;
  assertEquals(say(until, {}, { status: "delayed", ...failed }), [
    "backoff",
    `attempt 2 comes at ${AT_TEXT} (attempt 1 failed: task_error: no disk)`,
  ]);
});

Deno.test("a key at its limit or its rate says which, and when that ends", () => {
  const keyLimit = { key: "customer-7", limit: 3, rate: { starts: 10, windowMs: 60_000 } };
  assertEquals(say({ heldBy: "key_limit" }, {}, { keyLimit }), [
    "key_limit",
    '3 tasks with the key "customer-7" are running, its limit',
  ]);
  assertEquals(
    say({ heldBy: "key_limit" }, {}, { keyLimit: { ...keyLimit, limit: 1 } })[1],
    '1 task with the key "customer-7" is running, its limit',
  );
  assertEquals(say({ heldBy: "key_rate", until: AT }, {}, { keyLimit }), [
    "key_rate",
    '10 tasks of the key "customer-7" have started in the last 1m, its rate; ' +
    `the next may start at ${AT_TEXT}`,
  ]);
});

Deno.test("an op at its limit says how many run, and one at its rate when the next may start", () => {
  assertEquals(say({ heldBy: "op_limit", limit: 2, ahead: 4 }), [
    "op_limit",
    '2 tasks of the op "resize" are running, its limit',
  ]);
  assertEquals(
    say({ heldBy: "op_limit", limit: 1 })[1],
    '1 task of the op "resize" is running, its limit',
  );
  assertEquals(say({ heldBy: "op_rate", until: AT }), [
    "op_rate",
    `as many tasks of the op "resize" have started as its rate allows; the next may start at ${AT_TEXT}`,
  ]);
});

Deno.test("a task that waits after a takeover says until when, even beside no worker", () => {
  assertEquals(say({ heldBy: "takeover", until: AT }, { workers: 0 }), [
    "takeover",
    "the server before may have started it, or tasks that count in its limit: " +
    `it waits for worker processes to come back, until ${AT_TEXT} at the latest`,
  ]);
});

Deno.test("a task that comes after others names a few of them", () => {
  assertEquals(say({ heldBy: "after", after: ["a", "b"] }, { paused: "all" }), [
    "after",
    "it waits for 2 tasks to complete: a, b",
  ]);
  const many = Array.from({ length: 1007 }, (_, i) => `p${i}`);
  assertEquals(
    say({ heldBy: "after", after: many })[1],
    "it waits for 1,007 tasks to complete: p0, p1, p2, p3, p4 and 1,002 more",
  );
});

Deno.test("what holds all tasks of an op goes before what holds this one", () => {
  const held = { heldBy: "key_limit" } as const;
  const keyLimit = { key: "k", limit: 1, rate: undefined };
  const all = { isStopping: true, paused: "op", workers: 0 } as const;
  assertEquals(say(held, all, { keyLimit })[0], "stopping");
  assertEquals(say(held, { ...all, isStopping: false }, { keyLimit }), [
    "paused",
    'op "resize" is paused; resume it with: sd resume resize',
  ]);
  assertEquals(say(held, { paused: "all" }, { keyLimit }), [
    "paused",
    "all ops are paused; resume them with: sd resume --all",
  ]);
  assertEquals(say(held, { workers: 0 }, { keyLimit }), [
    "no_worker",
    'no worker has the op "resize"',
  ]);
  assertEquals(say({ heldBy: "suspect" }), [
    "suspect",
    "it was running in 2 deaths of its worker process; it runs alone, once a worker process holds " +
    "nothing else",
  ]);
});

Deno.test("a task that runs says since when, and how far it is", () => {
  const running = { status: "running", attempt: 2, startedAt: AT } as const;
  assertEquals(say({ heldBy: "running" }, { paused: "all" }, running), [
    "running",
    `it is running: attempt 2, since ${AT_TEXT}`,
  ]);
  const progress = { fraction: 0.429, note: "page 3" };
  assertEquals(
    say({ heldBy: "running" }, { progress }, running)[1],
    `it is running: attempt 2, since ${AT_TEXT}, 42 % done (page 3)`,
  );
});

Deno.test("a final task says how it ended", () => {
  assertEquals(sayFinal("completed", {}), `it is final: it completed at ${AT_TEXT}`);
  const error = { code: "timeout", message: "stopped after 60 ms" } as const;
  assertEquals(
    sayFinal("failed", { attempt: 3, error }),
    `it is final: attempt 3 of 3 failed at ${AT_TEXT}: timeout: stopped after 60 ms`,
  );
  assertEquals(
    sayFinal("expired", { expiresAt: AT }),
    `it is final: it expired at ${AT_TEXT}, since it had not started by ${AT_TEXT}`,
  );
  assertEquals(sayFinal("cancelled", {}), `it is final: it was cancelled at ${AT_TEXT}`);
  const because = (status?: Status) => sayFinal("cancelled", { cancelledFor: "x" }, status);
  assertEquals(because("failed"), 'it was cancelled, since task "x" that it came after failed');
  assertEquals(
    because("cancelled"),
    'it was cancelled, since task "x" that it came after was cancelled',
  );
  assertEquals(because(), 'it was cancelled, since task "x" that it came after did not complete');
});
