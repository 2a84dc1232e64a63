/** The wall clock under a running server is set ahead, set back, and behind after a restart; by libfaketime. */

import { assert, assertEquals } from "@std/assert";
import { needing } from "../kit/needs.ts";
import { RawClient } from "../kit/raw_client.ts";
import { SdServe, shell } from "../kit/sd_process.ts";

const HOUR = 3_600_000;
const LIBRARY = await shell("ls /usr/lib/*/faketime/libfaketimeMT.so.1 | head -n 1");
const test = needing("libfaketime", LIBRARY !== "");

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** A folder for the data of servers, and their clock. */
class JumpStage implements Disposable {
  readonly #folder = Deno.makeTempDirSync({ prefix: "sd-clock-" });

  constructor() {
    this.set("+0");
  }

  /** Sets the offset of the wall clock from that of the machine, also for a running process. */
  set(offset: string): void {
    // The file is read at each reading of the clock, so it must always be complete.
    Deno.writeTextFileSync(`${this.#folder}/next`, offset);
    Deno.renameSync(`${this.#folder}/next`, `${this.#folder}/clock`);
  }

  /** With `monotonic`, that clock jumps as well, as when a machine is paused. */
  serve({ monotonic = false, workers = 1 } = {}): Promise<SdServe> {
    const keep = monotonic ? "0" : "1";
    return SdServe.start(["--workers", String(workers)], {
      env: {
        SD_DATA: this.#folder,
        LD_PRELOAD: LIBRARY,
        FAKETIME_TIMESTAMP_FILE: `${this.#folder}/clock`,
        FAKETIME_NO_CACHE: "1",
        FAKETIME_DONT_FAKE_MONOTONIC: keep,
        DONT_FAKE_MONOTONIC: keep,
      },
    });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#folder, { recursive: true });
  }
}

/** The tasks once they are final. */
async function ends(client: RawClient, ...ids: string[]) {
  const tasks = [];
  for (const task_id of ids) tasks.push(await client.ask({ cmd: "wait", task_id }));
  return tasks;
}

/** A clock that is set ahead ends delays and backoffs on an idle server, and no run. */
async function setAhead() {
  using stage = new JumpStage();
  await using serve = await stage.serve({ workers: 2 });
  using client = await RawClient.connect(serve.address);
  const submit = (op: string, task: object, more: object = {}) =>
    client.ask({ op, task: { wait: false, ...task }, ...more });
  await submit("sleep", { id: "long" }, { ms: 6000 });
  await submit("square", { id: "delayed", delay: HOUR / 2 }, { n: 3 });
  await submit("square", { id: "failing", attempts: 2, backoff: HOUR / 3 });
  await submit("square", { id: "at", at: new Date(Date.now() + HOUR / 2).toISOString() }, {
    n: 3,
  });
  await submit("square", { id: "later", delay: 3 * HOUR }, { n: 3 });
  await sleep(500);
  stage.set("+3600");
  const [delayed, failing, at] = await ends(client, "delayed", "failing", "at");
  assertEquals([delayed.status, at.status], ["completed", "completed"]);
  assertEquals([failing.status, failing.attempt], ["failed", 2]);
  stage.set("+7200");
  const [long] = await ends(client, "long");
  assertEquals([long.status, long.attempt, long.result], ["completed", 1, 6000]);
  assertEquals((await client.ask({ cmd: "get", task_id: "later" })).status, "delayed");
  assertEquals(serve.lines.filter((line) => line.includes("leases")), []);
}

/** After a clock was set back no task waits for it, and stamps and times follow the new clock. */
async function setBack() {
  using stage = new JumpStage();
  let last: string;
  {
    await using serve = await stage.serve();
    using client = await RawClient.connect(serve.address);
    const submit = (task: object, more: object = { n: 3 }) =>
      client.ask({ op: "square", task: { wait: false, ...task }, ...more });
    await submit({ id: "delayed", delay: 3000 });
    await submit({ id: "failing", attempts: 2, backoff: 3000 }, {});
    await submit({ id: "expiring", delay: HOUR, expires: 3000 });
    for (let i = 0; i < 4; i++) await submit({ id: `rate-${i}`, key: "k", rate: "3/3s" });
    const { task_id: before } = await submit({});
    await sleep(500);
    stage.set("-1h");
    const wall = Date.now() - HOUR;
    await submit({ id: "at", at: new Date(wall + 3000).toISOString() });
    await submit({ id: "at-later", at: new Date(wall + HOUR / 2).toISOString() });
    const { task_id: after } = await submit({});
    assert(after > before, "ids go on");
    const tasks = await ends(client, "delayed", "failing", "expiring", "rate-3", "at", after);
    const statuses = ["completed", "failed", "expired", "completed", "completed", "completed"];
    assertEquals(tasks.map(({ status }) => status), statuses);
    const { now } = await client.ask({ cmd: "stats" });
    for (const { created_at, started_at = created_at, finished_at } of tasks) {
      const stamps = [created_at, started_at, finished_at, now];
      assertEquals(stamps, stamps.toSorted(), "stamps are in order, and none is in the future");
    }
    assert(Math.abs(Date.parse(now) - (Date.now() - HOUR)) < HOUR / 2, now);
    const later = await client.ask({ cmd: "get", task_id: "at-later" });
    assertEquals([later.status, later.run_at], [
      "delayed",
      new Date(wall + HOUR / 2).toISOString(),
    ]);
    await submit({ id: "after-restart", delay: 5000 });
    last = after;
    serve.child.kill("SIGKILL");
    await serve.child.status;
  }
  stage.set("-3h");
  await using serve = await stage.serve();
  using client = await RawClient.connect(serve.address);
  const [delayed] = await ends(client, "after-restart");
  assertEquals(delayed.status, "completed");
  const { task_id } = await client.ask({ op: "square", n: 1, task: { wait: false } });
  assert(task_id > last, "ids go on");
  assertEquals((await client.ask({ cmd: "get", task_id: "at-later" })).status, "delayed");
}

/** A machine that was paused together with its clocks has lost no task. */
async function pauseMachine() {
  using stage = new JumpStage();
  await using serve = await stage.serve({ monotonic: true });
  using client = await RawClient.connect(serve.address);
  await client.ask({ op: "sleep", ms: 5000, task: { id: "long", timeout: 20_000 } });
  for (const offset of ["+60", "+1200", "+7200"]) {
    await sleep(1000);
    stage.set(offset);
  }
  const end = await client.object();
  assertEquals([end.status, end.result], ["completed", 5000]);
  assertEquals((await client.ask({ cmd: "get", task_id: "long" })).attempt, 1);
  assertEquals(serve.lines.filter((line) => line.includes("leases")), []);
}

Deno.test(
  test(
    "a clock that jumps under a running server: nothing runs twice, nothing waits for the clock",
  ),
  async () => {
    // Side by side: each of them mostly sleeps.
    await Promise.all([setAhead(), setBack(), pauseMachine()]);
  },
);
