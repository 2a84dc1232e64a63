/** Who is asked to check arguments, for how long, and what becomes of it when nobody answers. */

import { assertEquals } from "@std/assert";
import type { SchemaFault } from "../../../../protocol/work_message.ts";
import { OpDirectory } from "../../../../server/dispatch/op_directory.ts";
import type { Runner } from "../../../../server/dispatch/runner.ts";
import { SchemaChecks } from "../../../../server/dispatch/schema_checks.ts";
import { HandClock } from "../../../kit/hand_clock.ts";

const FAULT: SchemaFault = { path: "n", message: "no" };

/** A worker process that keeps what it is asked, and answers when it is told to. */
class AskedRunner implements Runner {
  readonly specs;
  readonly ops;
  readonly versions = new Map<string, string>();
  readonly pool = undefined;
  readonly pid = 1;
  readonly workers = 1;
  readonly isSingle = false;
  readonly accepts = true;
  readonly room = 0;
  readonly held = 0;
  readonly asked: string[][] = [];
  readonly #answers: ((faults: (SchemaFault | null)[] | undefined) => void)[] = [];

  constructor(readonly hasSchema = true) {
    const schema = hasSchema ? { schema: { vendor: "zod" } } : {};
    this.specs = new Map([["a", { op: "a", ...schema }]]);
    this.ops = new Set(["a"]);
  }

  check(submits: readonly (readonly [string, string])[]) {
    this.asked.push(submits.map(([, line]) => line));
    return new Promise<(SchemaFault | null)[] | undefined>((resolve) => {
      this.#answers.push(resolve);
    });
  }

  readonly logOf = () => undefined;

  /** The oldest order that has none. */
  answer(...faults: (SchemaFault | null)[]): void {
    this.#answers.shift()?.(faults);
  }

  gone(): void {
    for (const answer of this.#answers.splice(0)) answer(undefined);
  }

  heldOps = () => new Map<string, number>();
  run(): void {}
  holds = () => false;
  progressOf = () => undefined;
  stop(): void {}
  cutOff(): void {}
}

function stage() {
  const clock = new HandClock(0);
  const ops = new OpDirectory(false);
  const checks = new SchemaChecks({ ops, clock });
  return {
    clock,
    checks,
    join(runner = new AskedRunner()) {
      ops.add(runner);
      checks.joined(runner);
      return runner;
    },
    leave(runner: AskedRunner) {
      ops.remove(runner);
      checks.left(runner);
      runner.gone();
    },
    check: (...lines: string[]) => checks.check(lines.map((line) => ["a", line] as const)),
  };
}

Deno.test("the newest that has a schema is asked, and no timer is left", async () => {
  const { clock, join, check } = stage();
  const old = join();
  const next = join();
  join(new AskedRunner(false));
  const faults = check("1", "2");
  await clock.pass(0);
  next.answer(null, FAULT);
  assertEquals(await faults, [null, FAULT]);
  assertEquals([old.asked, next.asked], [[], [["1", "2"]]]);
  assertEquals(clock.timers, 0);
});

Deno.test("one that does not answer in time is asked nothing more until it does", async () => {
  const { clock, join, check } = stage();
  const old = join();
  const next = join();
  const first = check("1");
  await clock.pass(2000);
  assertEquals([next.asked, old.asked], [[["1"]], [["1"]]]);
  old.answer(FAULT);
  assertEquals(await first, [FAULT]);
  const second = check("2");
  await clock.pass(0);
  old.answer(null);
  assertEquals([await second, next.asked.length], [[null], 1]);
  next.answer(null);
  await clock.pass(0);
  const third = check("3");
  await clock.pass(0);
  next.answer(FAULT);
  assertEquals([await third, next.asked.length], [[FAULT], 2]);
  assertEquals(clock.timers, 0);
});

Deno.test("what nobody answers in twice the time is let through, and then at once", async () => {
  const { clock, join, check } = stage();
  [1, 2, 3].forEach(() => join());
  const first = check("1");
  await clock.pass(4000);
  assertEquals(await first, [null]);
  const third = check("2");
  await clock.pass(2000);
  assertEquals(await third, [null]);
  assertEquals(await check("3"), [null]);
  assertEquals(clock.timers, 0);
});

Deno.test("where the last has just gone, the next to come is waited for, and not for ever", async () => {
  const { clock, join, leave, check } = stage();
  assertEquals(await check("nobody was ever there"), [null]);
  leave(join());
  const waiting = check("1");
  await clock.pass(1999);
  const next = join();
  await clock.pass(0);
  next.answer(FAULT);
  assertEquals(await waiting, [FAULT]);
  leave(next);
  const late = check("2");
  await clock.pass(1000);
  const later = check("3");
  await clock.pass(1000);
  assertEquals([await late, await later], [[null], [null]]);
  assertEquals(await check("4"), [null], "it has gone long ago");
  assertEquals(clock.timers, 0);
});

Deno.test("a stop lets everything through, and leaves no timer", async () => {
  const { clock, join, check, checks, leave } = stage();
  const runner = join();
  const asked = check("1");
  await clock.pass(0);
  checks.stop();
  checks.stop();
  assertEquals(await asked, [null]);
  assertEquals(await check("2"), [null]);
  leave(runner);
  assertEquals([runner.asked.length, clock.timers], [1, 0]);
});

Deno.test("more than a few mebibytes are not checked at a time; the rest waits its turn", async () => {
  const { clock, join, check } = stage();
  const runner = join();
  const large = "x".repeat(3 * 1024 * 1024);
  const all = [check(large), check(large), check("small")];
  await clock.pass(0);
  assertEquals(runner.asked.length, 2);
  runner.answer(null);
  await clock.pass(0);
  assertEquals(runner.asked.length, 3);
  runner.answer(null);
  runner.answer(FAULT);
  assertEquals((await Promise.all(all)).flat(), [null, null, FAULT]);
});
