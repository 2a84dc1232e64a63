/** Recurring tasks as clients make, repeat and remove them, and what is refused. */

import { assertEquals, assertRejects } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import { MAX_CRON_ID_CHARS, MAX_CRONS } from "../../../../protocol/limits.ts";
import type { JsonObject } from "../../../../protocol/message.ts";
import { CronStage, runIds } from "../../../kit/cron_stage.ts";

const MINUTE = 60_000, HOUR = 60 * MINUTE;

Deno.test("a removed one submits nothing more, and its id is free", async () => {
  const stage = new CronStage();
  await stage.create({ id: "n", cron: "* * * * *" });
  await stage.clock.pass(MINUTE);
  assertEquals(await stage.api.remove("n"), { cron_id: "n", status: "removed" });
  assertEquals(stage.api.list(), { crons: [] });
  await stage.clock.pass(HOUR);
  await stage.create({ id: "n", cron: "0 * * * *" }, { op: "square", n: 2 });
  assertEquals(stage.api.list().crons[0]?.last_at, undefined);
  await stage.clock.pass(HOUR);
  assertEquals(stage.submitted, runIds("n", "00:31:00", "02:00:00"));
  for (const call of ["pause", "resume", "remove"] as const) {
    const error = await assertRejects(() => stage.api[call]("other"), SdError, '"other"');
    assertEquals(error.code, "not_found");
  }
  await stage.scheduler.stop();
});

Deno.test("the same id again is the same one, or a conflict where anything differs", async () => {
  const stage = new CronStage();
  const task = { id: "n", cron: "0 * * * *", timeout: 5000 };
  const first = await stage.create(task, { op: "echo", data: 1 });
  const again = {
    ref: 7,
    task: { timeout: 5000, cron: "0 * * * *", id: "n" },
    data: 1,
    op: "echo",
  };
  assertEquals(await stage.api.create(again, JSON.stringify(again)), first);
  const others: [JsonObject, JsonObject][] = [
    [task, { op: "echo", data: 2 }],
    [task, { op: "square", data: 1 }],
    [{ ...task, timeout: 5001 }, { op: "echo", data: 1 }],
    [{ ...task, cron: "1 * * * *" }, { op: "echo", data: 1 }],
    [{ ...task, tz: "Europe/Rome" }, { op: "echo", data: 1 }],
  ];
  for (const [options, message] of others) {
    const error = await assertRejects(
      () => stage.create(options, message),
      SdError,
      "remove it first",
    );
    assertEquals(error.code, "conflict");
  }
  // Of two at the same moment, one is first.
  const both = await Promise.allSettled([
    stage.create({ id: "b", cron: "1 * * * *" }),
    stage.create({ id: "b", cron: "2 * * * *" }),
  ]);
  assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected"]);
  await stage.scheduler.stop();
});

Deno.test("what a recurring task cannot be is refused, and nothing is kept of it", async () => {
  const stage = new CronStage();
  const wrong: [JsonObject, string][] = [
    [{ delay: 1 }, "task.delay does not go with task.cron"],
    [{ at: "2030-01-01T00:00:00Z" }, "task.at does not go"],
    [{ after: ["a"] }, "task.after does not go"],
    [{ wait: false }, "task.wait does not go"],
    [{ id: "a b" }, "task.id of a recurring task"],
    [{ id: "x".repeat(MAX_CRON_ID_CHARS + 1) }, "task.id of a recurring task"],
    [{ timeout: 0 }, "task.timeout is an integer"],
    [{ limit: 1 }, "task.key"],
    [{ retries: 1 }, 'no option "retries"'],
    [{ cron: "0 0 30 2 *" }, "never comes"],
    [{ cron: null }, "five fields"],
  ];
  for (const [options, text] of wrong) {
    const error = await assertRejects(
      () => stage.create({ cron: "* * * * *", ...options }),
      SdError,
      text,
    );
    assertEquals(error.code, "bad_request", text);
  }
  const call = (message: JsonObject) => stage.create({ cron: "* * * * *" }, message);
  await assertRejects(() => call({ op: 5 }), SdError, "op is the name");
  await assertRejects(() => call({ op: "nope" }), SdError, "no worker has it");
  await assertRejects(
    () => call({ op: "echo", data: "x".repeat(65_536) }),
    SdError,
    "at most 65536",
  );
  assertEquals(stage.api.list(), { crons: [] });
  const longest = "x".repeat(MAX_CRON_ID_CHARS);
  await stage.create({ id: longest, cron: "* * * * *" });
  await stage.clock.pass(MINUTE);
  assertEquals(stage.submitted, runIds(longest, "00:31:00"));
  await stage.scheduler.stop();
});

Deno.test("one more than there may be is refused, and the same one again is not", async () => {
  const stage = new CronStage({ start: false });
  for (let i = 0; i < MAX_CRONS; i++) await stage.create({ id: `c${i}`, cron: "0 0 1 1 *" });
  const error = await assertRejects(
    () => stage.create({ id: "more", cron: "0 0 1 1 *" }),
    SdError,
    `${MAX_CRONS} recurring tasks`,
  );
  assertEquals(error.code, "queue_full");
  await stage.create({ id: "c0", cron: "0 0 1 1 *" });
});
