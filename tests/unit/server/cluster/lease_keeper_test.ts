/** Claims about the lease of a leader: when it may decide, and when it may not. */

import { assertEquals } from "@std/assert";
import { LEASE_MS, RENEW_MS, SAFETY_MS } from "../../../../server/engine/journaled/shared_store.ts";
import { LeaseKeeper, PassedTime } from "../../../../server/cluster/lease_keeper.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

/** How the store answers a renewal. */
type Answer = "yes" | "no" | "fails" | "hangs";

function stage() {
  const clock = new HandClock(1_000_000);
  const answers: Answer[] = [];
  const lost: string[] = [];
  const sent: number[] = [];
  const warnings: string[] = [];
  let passedMs = 0;
  const keeper = new LeaseKeeper({
    lead: {
      renew() {
        sent.push(clock.now() - 1_000_000);
        const answer = answers.shift() ?? "yes";
        if (answer === "hangs") return new Promise(() => {});
        return answer === "fails"
          ? Promise.reject(new Error("away"))
          : Promise.resolve(answer === "yes");
      },
    },
    now: () => clock.now() + passedMs,
    after: (ms, run) => clock.after(ms, run),
    onLost: (reason) => lost.push(reason),
    warn: (message) => warnings.push(message),
  });
  return { clock, keeper, answers, lost, sent, warnings, sleep: (ms: number) => passedMs += ms };
}

Deno.test("nothing is decided before the first renewal, and from then on it is renewed each second", async () => {
  const { clock, keeper, sent } = stage();
  assertEquals(keeper.isHeld(), false);
  assertEquals(await keeper.start(), true);
  assertEquals(keeper.isHeld(), true);
  await clock.pass(60_000);
  assertEquals([keeper.isHeld(), sent.length], [true, 61]);
  keeper.stop();
  assertEquals(clock.timers, 0);
});

Deno.test("a lead that cannot be renewed even once is no lead", async () => {
  for (const answer of ["no", "fails", "hangs"] as const) {
    const { clock, keeper, answers, lost } = stage();
    answers.push(...Array.from({ length: 99 }, () => answer));
    const started = keeper.start();
    await clock.pass(LEASE_MS);
    assertEquals([await started, keeper.isHeld(), lost.length], [false, false, 1], answer);
  }
});

Deno.test("the deadline counts from before the last renewal that was answered, also while one hangs", async () => {
  for (const answer of ["fails", "hangs"] as const) {
    const { clock, keeper, answers, lost, sent } = stage();
    await keeper.start();
    await clock.pass(3 * RENEW_MS);
    const last = sent.at(-1)!;
    answers.push(...Array.from({ length: 99 }, () => answer));
    await clock.pass(LEASE_MS - SAFETY_MS - 1 - (clock.now() - 1_000_000 - last));
    assertEquals([keeper.isHeld(), lost], [true, []], answer);
    await clock.pass(1);
    // The timer of its own has fired: nobody had to ask.
    assertEquals(lost, ["its lease was not renewed in time"], answer);
    assertEquals(keeper.isHeld(), false);
  }
});

Deno.test("an outage shorter than the lease ends nothing", async () => {
  const { clock, keeper, answers, lost, warnings } = stage();
  await keeper.start();
  answers.push("fails", "fails", "fails", "fails");
  await clock.pass(20_000);
  assertEquals([keeper.isHeld(), lost, warnings.length], [true, [], 1]);
  keeper.stop();
});

Deno.test("another leader ends it at once", async () => {
  const { clock, keeper, answers, lost } = stage();
  await keeper.start();
  answers.push("no");
  await clock.pass(RENEW_MS);
  assertEquals([keeper.isHeld(), lost], [false, ["another server leads"]]);
});

Deno.test("after a stop or a sleep the first look finds the deadline passed, before any timer", async () => {
  const { keeper, lost, sleep } = stage();
  await keeper.start();
  sleep(LEASE_MS);
  assertEquals(lost, []);
  assertEquals(keeper.isHeld(), false);
  assertEquals(lost.length, 1);
});

Deno.test("an answer that comes after the deadline brings no lead back", async () => {
  const { clock, keeper, lost, sleep } = stage();
  await keeper.start();
  // Stopped right after it has sent a renewal: the answer is read when the process goes on.
  const renewing = clock.pass(RENEW_MS);
  sleep(LEASE_MS);
  await renewing;
  assertEquals([keeper.isHeld(), lost.length], [false, 1]);
  await clock.pass(10_000);
  assertEquals([keeper.isHeld(), lost.length], [false, 1]);
});

Deno.test("passed time counts what either clock has counted, and never goes back", () => {
  let wall = 1000, monotonic = 0;
  const time = new PassedTime({ wall: () => wall, monotonic: () => monotonic });
  const start = time.now();
  const passed = () => time.now() - start;
  for (let ms = 0; ms < 1000; ms++) {
    wall += 1;
    monotonic += 1;
    time.now();
  }
  assertEquals(passed(), 1000);
  // The machine slept: its monotonic clock stood still.
  wall += 8000;
  assertEquals(passed(), 9000);
  // The wall clock is set back.
  wall -= 60_000;
  assertEquals(passed(), 9000);
  monotonic += 500;
  wall += 500;
  assertEquals(passed(), 9500);
});
