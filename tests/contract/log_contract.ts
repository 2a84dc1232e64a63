/** What every engine must do with what tasks say, and with the versions that ran them. */

import { assertEquals } from "@std/assert";
import { MAX_LOG_CHARS, MAX_LOG_ENTRIES } from "../../protocol/limits.ts";
import type { LogEntry } from "../../protocol/work_message.ts";
import type { Engine, LeasedTask, TaskRecord } from "../../server/engine/engine.ts";
import { RunLog } from "../../server/task/run_log.ts";
import type { TaskLog } from "../../server/task/task_log.ts";
import {
  type ContractTest,
  FAILED,
  LEASE_MS,
  leaseOne,
  NOW,
  OPS,
  submit,
  task,
} from "./contract_steps.ts";

/** The log of a run in which `task` said each of `texts`. */
export function logOf(task: LeasedTask, ...texts: string[]): TaskLog {
  const log = new RunLog(task);
  log.add(texts.map((text, i): LogEntry => [NOW + i, "info", text]));
  return log.log;
}

/** What is kept of the log, as `attempt: text` with the numbers before it. */
export function told(record: TaskRecord | undefined): string[] {
  return (record?.log ?? []).map(({ n, attempt, retries, text }) =>
    `${n} ${retries > 0 ? `retry ${retries} ` : ""}attempt ${attempt}: ${text}`
  );
}

export async function recordOf(engine: Engine, id: string): Promise<TaskRecord | undefined> {
  const [record] = await engine.get([id], { log: true });
  return record;
}

export const LOG_TESTS: Record<string, ContractTest> = {
  async "the log of a task has the lines of all its attempts, numbered in one sequence"(engine) {
    const [id] = await submit(engine, task(engine, { task: { attempts: 2, backoff: 0 } }));
    const first = await leaseOne(engine);
    const error = FAILED;
    await engine.nack(
      [{ lease: first.lease, reason: "failed", error, log: logOf(first, "a", "b") }],
      NOW,
    );
    assertEquals(told(await recordOf(engine, id!)), ["1 attempt 1: a", "2 attempt 1: b"]);
    const second = await leaseOne(engine);
    assertEquals(second.history?.logged, 2);
    await engine.ack([{ lease: second.lease, result: "16", log: logOf(second, "c") }], NOW);
    const record = await recordOf(engine, id!);
    assertEquals(told(record), ["1 attempt 1: a", "2 attempt 1: b", "3 attempt 2: c"]);
    assertEquals([record?.status, record?.history?.logged], ["completed", 3]);
    assertEquals(record?.log?.[2], {
      n: 3,
      at: NOW,
      attempt: 2,
      retries: 0,
      level: "info",
      text: "c",
    });
  },

  async "a log is returned only on request"(engine) {
    const [id] = await submit(engine, task(engine));
    const run = await leaseOne(engine);
    await engine.ack([{ lease: run.lease, result: "1", log: logOf(run, "a") }], NOW);
    const [plain] = await engine.get([id!]);
    const { tasks: [listed] } = await engine.list({ limit: 1 });
    assertEquals([plain?.log, listed?.log], [undefined, undefined]);
    assertEquals([plain?.history?.logged, listed?.history?.logged], [1, 1]);
  },

  async "a task without log lines and without a task file has neither log nor history"(engine) {
    const [id] = await submit(engine, task(engine));
    const run = await leaseOne(engine);
    await engine.ack([{ lease: run.lease, result: "1" }], NOW);
    const record = await recordOf(engine, id!);
    assertEquals([record?.log, record?.history], [undefined, undefined]);
  },

  async "the log of a run is kept after a death, a release, a stop and a lost lease"(
    engine,
  ) {
    const [died] = await submit(engine, task(engine, { n: 1 }));
    for (const reason of ["died", "released"] as const) {
      const run = await leaseOne(engine);
      await engine.nack([{ lease: run.lease, reason, log: logOf(run, reason) }], NOW);
    }
    const last = await leaseOne(engine);
    await engine.nack([{ lease: last.lease, reason: "lost", log: logOf(last, "lost") }], NOW);
    const kept = ["1 attempt 1: died", "2 attempt 1: released", "3 attempt 1: lost"];
    assertEquals(told(await recordOf(engine, died!)), kept);
    const { lease } = await leaseOne(engine);
    await engine.cancel([died!], NOW);
    const log: TaskLog = [{ n: 4, at: NOW, attempt: 1, retries: 0, level: "warn", text: "end" }];
    await engine.nack([{ lease, reason: "stopped", log }], NOW);
    const record = await recordOf(engine, died!);
    assertEquals(told(record), [...kept, "4 attempt 1: end"]);
    assertEquals(record?.status, "cancelled");
  },

  async "a log under a lost lease is not kept"(engine) {
    const [id] = await submit(engine, task(engine));
    const first = await leaseOne(engine);
    await engine.nack([{ lease: first.lease, reason: "died" }], NOW);
    const second = await leaseOne(engine);
    const log = logOf(first, "too late");
    await engine.ack([{ lease: first.lease, result: "1", log }], NOW);
    await engine.nack([{ lease: first.lease, reason: "stopped", log }], NOW);
    await engine.ack([{ lease: second.lease, result: "1" }], NOW);
    assertEquals(told(await recordOf(engine, id!)), []);
  },

  async "a retry keeps the log, and separates its attempts from the earlier ones"(engine) {
    const [id] = await submit(engine, task(engine));
    for (const text of ["once", "twice", "thrice"]) {
      const run = await leaseOne(engine);
      const log = logOf(run, text);
      await engine.nack([{ lease: run.lease, reason: "failed", error: FAILED, log }], NOW);
      await engine.requeue([id!], NOW);
    }
    assertEquals(told(await recordOf(engine, id!)), [
      "1 attempt 1: once",
      "2 retry 1 attempt 1: twice",
      "3 retry 2 attempt 1: thrice",
    ]);
  },

  async "the newest lines of a log are kept, up to a number of lines and of characters"(engine) {
    const [id] = await submit(engine, task(engine, { task: { attempts: 3, backoff: 0 } }));
    const many = Array.from({ length: MAX_LOG_ENTRIES }, (_, i) => `${i + 1}`);
    const first = await leaseOne(engine);
    await engine.nack(
      [{ lease: first.lease, reason: "failed", error: FAILED, log: logOf(first, ...many) }],
      NOW,
    );
    const whole = await recordOf(engine, id!);
    assertEquals([whole?.log?.length, whole?.log?.[0]?.n], [MAX_LOG_ENTRIES, 1]);
    const second = await leaseOne(engine);
    await engine.nack(
      [{ lease: second.lease, reason: "failed", error: FAILED, log: logOf(second, "new") }],
      NOW,
    );
    const cut = await recordOf(engine, id!);
    assertEquals([cut?.log?.length, cut?.log?.[0]?.n, cut?.log?.at(-1)?.text], [
      MAX_LOG_ENTRIES,
      2,
      "new",
    ]);
    const third = await leaseOne(engine);
    const large = Array(MAX_LOG_CHARS / 8192).fill("x".repeat(8192));
    await engine.ack([{ lease: third.lease, result: "1", log: logOf(third, ...large) }], NOW);
    const last = await recordOf(engine, id!);
    assertEquals(last?.log?.map(({ n }) => n), large.map((_, i) => MAX_LOG_ENTRIES + 2 + i));
    assertEquals(last?.history?.logged, MAX_LOG_ENTRIES + 1 + large.length);
  },

  async "a task has the version of the worker that ran it last"(engine) {
    const [id] = await submit(engine, task(engine, { task: { attempts: 3, backoff: 0 } }));
    const request = { ops: OPS, limit: 1, leaseUntil: NOW + LEASE_MS };
    const versionAfter = async (version: string | undefined) => {
      const versions = new Map(version === undefined ? [] : [["square", version]]);
      const { tasks } = await engine.lease({ ...request, versions }, NOW);
      const { lease } = tasks[0]!;
      await engine.nack([{ lease, reason: "failed", error: FAILED }], NOW);
      return (await engine.get([id!]))[0]?.history?.version;
    };
    assertEquals(await versionAfter("0123456789ab"), "0123456789ab");
    assertEquals(await versionAfter("ba9876543210"), "ba9876543210");
    assertEquals(await versionAfter(undefined), undefined);
  },

  async "an imported task has the log and the version that it came with"(engine) {
    const past = {
      attempt: 1,
      deaths: 0,
      startedAt: NOW,
      error: undefined,
      cancelledFor: undefined,
      history: { version: "0123456789ab", logged: 7, retries: 0 },
      log: [{ n: 7, at: NOW, attempt: 1, retries: 0, level: "debug", text: "\0 \ud800" }],
    } as const;
    const done = { ...past, status: "completed", finishedAt: NOW, result: "1" } as const;
    const open = { ...past, status: "queued", finishedAt: 0, result: undefined } as const;
    const ids = await submit(
      engine,
      { ...task(engine, { task: { id: "done", wait: false } }), past: done },
      { ...task(engine, { task: { id: "open", wait: false } }), past: open },
    );
    for (const id of ids) {
      const record = await recordOf(engine, id);
      assertEquals([record?.log, record?.history], [past.log, past.history], id);
    }
    const run = await leaseOne(engine);
    await engine.ack([{ lease: run.lease, result: "1", log: logOf(run, "more") }], NOW);
    const record = await recordOf(engine, "open");
    assertEquals(told(record), ["7 attempt 1: \0 \ud800", "8 attempt 2: more"]);
  },
};
