/** What the server's clock says when the wall clock jumps, goes back or drifts, and when the process is stopped. */

import { assert, assertEquals } from "@std/assert";
import { AWAKE_STEP_MS } from "../../../net/awake_clock.ts";
import { SteadyClock } from "../../../server/clock.ts";
import { markIn } from "../../../server/engine/journaled/kept_times.ts";
import { Random } from "../../fuzz/random.ts";

const SECOND = 1000, HOUR = 3_600_000, START = 1_800_000_000_000;

/** A clock, and the two clocks below it. */
function stage(start = START) {
  const at = { wall: start, monotonic: 5 };
  const clock = new SteadyClock({ wall: () => Math.floor(at.wall), monotonic: () => at.monotonic });
  /** Lets `ms` pass as a process that runs sees it. */
  const pass = (ms: number) => {
    for (let left = ms; left > 0; left -= AWAKE_STEP_MS) {
      at.wall += Math.min(left, AWAKE_STEP_MS);
      at.monotonic += Math.min(left, AWAKE_STEP_MS);
      clock.awake();
      clock.now();
    }
  };
  return { clock, at, pass };
}

function assertNear(ms: number, right: number, mostMs: number): void {
  assert(Math.abs(ms - right) <= mostMs, `${ms} is ${ms - right} ms off ${right}`);
}

Deno.test("while nothing jumps, server time is what the wall clock says, to the millisecond", () => {
  const { clock, at } = stage();
  for (let i = 0; i < 10_000; i++) {
    at.wall += 0.37;
    at.monotonic += 0.37;
    assertEquals([clock.now(), clock.wall()], [Math.floor(at.wall), Math.floor(at.wall)]);
  }
  assertEquals(clock.aheadMs, 0);
});

Deno.test("a jump ahead is time that passed; none of it was awake", () => {
  const { clock, at, pass } = stage();
  pass(SECOND);
  const awake = clock.awake();
  at.wall += HOUR;
  assertEquals([clock.now(), clock.wall(), clock.aheadMs], [at.wall, at.wall, 0]);
  assertEquals(clock.awake(), awake);
});

Deno.test("after a set-back, spans are as long as before, and stamps are those of the wall clock", () => {
  const { clock, at, pass } = stage();
  pass(SECOND);
  const before = clock.now();
  at.wall -= HOUR;
  assertEquals([clock.now(), clock.wall(), clock.aheadMs], [before, at.wall, HOUR]);
  pass(10 * SECOND);
  assertNear(clock.now(), before + 10 * SECOND, 20);
  assertNear(clock.wall(), at.wall, 20);
  assertEquals(clock.aheadMs, HOUR, "a stored time is shown the same each time");
  // Set right again: nothing of the hour has passed.
  const then = clock.now();
  at.wall += HOUR;
  assertNear(clock.now(), then, 20);
  assertEquals(clock.aheadMs, 0);
});

Deno.test("a clock that was decades ahead for a moment holds nothing up afterwards", () => {
  const { clock, at, pass } = stage();
  at.wall += 100 * 365 * 24 * HOUR;
  const ahead = clock.now();
  at.wall = START;
  assertEquals([clock.wall(), clock.now()], [START, ahead]);
  pass(60 * SECOND);
  assertNear(clock.now(), ahead + 60 * SECOND, 100);
  assertNear(clock.wall(), at.wall, 100);
});

Deno.test("a process that was stopped has not been awake, and a machine that slept neither", () => {
  const { clock, at, pass } = stage();
  pass(10 * SECOND);
  assertEquals(clock.awake(), 10 * SECOND);
  // SIGSTOP: both clocks go on.
  at.wall += 43 * SECOND;
  at.monotonic += 43 * SECOND;
  assertEquals(clock.awake(), 10 * SECOND + AWAKE_STEP_MS);
  // Sleep: the monotonic clock stands still.
  at.wall += HOUR;
  assertEquals(clock.awake(), 10 * SECOND + AWAKE_STEP_MS);
});

Deno.test("a monotonic clock that is a little fast does not run away from the wall clock", () => {
  const { clock, at } = stage();
  for (let i = 0; i < 100_000; i++) {
    at.wall += SECOND;
    at.monotonic += SECOND * 1.0005;
    clock.now();
  }
  assert(clock.now() - at.wall < SECOND, `${clock.now() - at.wall} ms ahead`);
  assertEquals(clock.aheadMs, 0);
});

Deno.test("the clock of a process that follows another goes on from what that one knew", () => {
  const { clock, at, pass } = stage();
  clock.reach(START + HOUR);
  assertEquals([clock.now(), clock.wall(), clock.aheadMs], [START + HOUR, START, HOUR]);
  clock.reach(START);
  assertEquals(clock.now(), START + HOUR);
  // The hour passes: both are the same again.
  pass(SECOND);
  at.wall += 2 * HOUR;
  assertEquals([clock.now(), clock.aheadMs], [at.wall, 0]);
});

Deno.test("a clock that was not read for a while, and then goes on from another, is not ahead by that while", () => {
  const { clock, at } = stage();
  at.wall += 25 * SECOND;
  at.monotonic += 25 * SECOND;
  clock.reach(at.wall - 5);
  assertEquals([clock.now(), clock.aheadMs], [at.wall, 0]);
});

Deno.test("what a file says of its last time is believed where it is a time", () => {
  const marks = ["1800000000000", "253402300799999", "9000000000000000", "1.5", "", "x"];
  const read = marks.map((mark) => markIn([["other", "7"], ["clock", mark]]));
  assertEquals(read, [1_800_000_000_000, 253_402_300_799_999, 0, 0, 0, 0]);
  assertEquals(markIn([]), 0);
});

Deno.test("however the wall clock jumps, time never goes back nor stands still, and wall time is right", () => {
  const seed = Math.floor(Math.random() * 1e9);
  const random = new Random(seed);
  const { clock, at } = stage();
  let [now, awake] = [clock.now(), clock.awake()];
  for (let i = 0; i < 20_000; i++) {
    const ms = random.int(0, 3000);
    at.monotonic += ms;
    at.wall += ms;
    if (random.chance(0.05)) at.wall += random.pick([-1, 1]) * random.int(0, 2 * HOUR);
    const next = clock.now();
    assert(
      next >= now + Math.floor(ms * 0.998) - 1,
      `seed ${seed}: ${next - now} of ${ms} ms passed`,
    );
    assert(
      Math.abs(clock.wall() - at.wall) <= 1001,
      `seed ${seed}: ${clock.wall() - at.wall} ms off`,
    );
    const step = clock.awake() - awake;
    assert(step >= 0 && step <= AWAKE_STEP_MS, `seed ${seed}: ${step} ms awake`);
    [now, awake] = [next, clock.awake()];
  }
});
