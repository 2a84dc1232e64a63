/** Which worker process is spared for a suspect, for how long; and that the loop of the dispatcher ends. */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Dispatcher } from "../../../../server/dispatch/dispatcher.ts";
import { Quarantine } from "../../../../server/dispatch/quarantine.ts";
import type { Runner } from "../../../../server/dispatch/runner.ts";
import type { Engine, Leased, LeaseRequest } from "../../../../server/engine/engine.ts";
import { Metrics } from "../../../../server/metrics.ts";
import { TaskEvents } from "../../../../server/task/task_events.ts";
import { systemClock } from "../../../../server/clock.ts";

class StillRunner implements Runner {
  readonly ops: ReadonlySet<string>;
  readonly specs = new Map();
  readonly versions = new Map<string, string>();
  readonly pool = undefined;
  readonly pid = 1;
  readonly workers = 1;
  readonly isSingle = false;
  room = 1;
  accepts = true;

  constructor(ops: string[], public held = 0) {
    this.ops = new Set(ops);
  }

  heldOps = () => new Map<string, number>();
  run(): void {}
  holds = () => false;
  progressOf = () => undefined;
  logOf = () => undefined;
  stop(): void {}
  cutOff(): void {}
  check = () => Promise.resolve(undefined);
}

function stage() {
  let now = 0;
  const quarantine = new Quarantine(() => now);
  return { quarantine, pass: (ms: number) => void (now += ms) };
}

Deno.test("only a runner that has the op, and accepts tasks, is spared for a suspect", () => {
  const { quarantine } = stage();
  const idle = new StillRunner(["b"]);
  const leaving = new StillRunner(["a"]);
  leaving.accepts = false;
  const busy = new StillRunner(["a"], 2);
  const busier = new StillRunner(["a"], 3);
  assertEquals(quarantine.need(["a"], [idle, leaving]), false);
  assertEquals(quarantine.need(["a"], [idle, leaving, busier, busy]), true);
  assertEquals([idle, leaving, busier, busy].map((it) => quarantine.allows(it)), [
    "all",
    "all",
    "all",
    "nothing",
  ]);
  assertEquals(quarantine.need(["a"], [idle, leaving, busier, busy]), false, "one at a time");
  busy.held = 0;
  assertEquals(quarantine.allows(busy), "suspect");
  quarantine.settle(busy, { gotOne: true, waits: false });
  busy.held = 1;
  assertEquals(quarantine.allows(busy), "nothing");
  assertEquals(quarantine.need(["a"], [idle, leaving, busier, busy]), false, "one at a time");
  busy.held = 0;
  assertEquals(quarantine.allows(busy), "all");
});

Deno.test("a suspect whose runner leaves, or is about to end, is given another", () => {
  const { quarantine } = stage();
  const [first, second] = [new StillRunner(["a"], 1), new StillRunner(["a"], 2)];
  assert(quarantine.need(["a"], [first, second]));
  first.accepts = false;
  assertEquals(quarantine.allows(first), "all");
  assert(quarantine.need(["a"], [first, second]));
  assertEquals(quarantine.allows(second), "nothing");
  quarantine.leave(second);
  first.accepts = true;
  assert(quarantine.need(["a"], [first]));
  assertEquals(quarantine.allows(first), "nothing");
});

Deno.test("a runner that has become less busy takes the place of the spared one", () => {
  const { quarantine } = stage();
  const [first, second] = [new StillRunner(["a"], 1), new StillRunner(["a"], 2)];
  assert(quarantine.need(["a"], [first, second]));
  second.held = 0;
  assert(quarantine.need(["a"], [first, second]));
  assertEquals([first, second].map((it) => quarantine.allows(it)), ["all", "suspect"]);
});

Deno.test("suspects of several ops do not wait for one another, and share a runner that has both", () => {
  const { quarantine } = stage();
  const [a, b, both] = [
    new StillRunner(["a"], 1),
    new StillRunner(["b"]),
    new StillRunner(["a", "b"], 4),
  ];
  assert(quarantine.need(["a", "b"], [a, b, both]));
  assertEquals([a, b, both].map((it) => quarantine.allows(it)), ["nothing", "suspect", "all"]);
  const other = stage().quarantine;
  both.held = 0;
  assert(other.need(["a", "b"], [both, a, b]));
  assertEquals([a, b, both].map((it) => other.allows(it)), ["all", "all", "suspect"]);
});

Deno.test("a runner that does not empty takes other tasks again, and is spared for longer the next time", () => {
  const { quarantine, pass } = stage();
  const runner = new StillRunner(["a"], 1);
  const spans: number[] = [];
  for (let i = 0; i < 3; i++) {
    assert(quarantine.need(["a"], [runner]));
    assertEquals(quarantine.allows(runner), "nothing");
    const span = quarantine.nextMs;
    spans.push(span);
    pass(span - 1);
    assertEquals(quarantine.allows(runner), "nothing");
    pass(1);
    assertEquals(quarantine.allows(runner), "all");
    assertEquals(quarantine.need(["a"], [runner]), false, "it rests for as long");
    pass(span);
  }
  assertEquals(spans.map((span) => span / spans[0]!), [1, 2, 4]);
  assert(quarantine.need(["a"], [runner]));
  runner.held = 0;
  assertEquals(quarantine.allows(runner), "suspect");
});

Deno.test("a runner waits empty for a suspect that a limit holds back, but not for ever", () => {
  const { quarantine, pass } = stage();
  const runner = new StillRunner(["a"]);
  assert(quarantine.need(["a"], [runner]));
  quarantine.settle(runner, { gotOne: false, waits: true });
  assertEquals(quarantine.allows(runner), "suspect");
  assertEquals([...quarantine.waiting()], ["a"]);
  pass(quarantine.nextMs);
  quarantine.settle(runner, { gotOne: false, waits: true });
  assertEquals(quarantine.allows(runner), "all");
  pass(1_000_000);
  assert(quarantine.need(["a"], [runner]));
  quarantine.settle(runner, { gotOne: false, waits: false });
  assertEquals(quarantine.allows(runner), "all", "it was cancelled");
});

Deno.test("a loop of the dispatcher that never settles lets timers run, and is logged", async () => {
  const bugs: string[] = [];
  let leases = 0;
  const nothing: Leased = {
    tasks: [],
    nextDueAt: Infinity,
    suspectOps: new Set(),
    more: undefined,
  };
  const engine = {
    lease: ({ suspects }: LeaseRequest) => {
      leases++;
      // A suspect that is there, and is never handed out.
      return Promise.resolve(suspects ? nothing : { ...nothing, suspectOps: new Set(["a"]) });
    },
  } as unknown as Engine;
  const log = {
    info: () => {},
    warn: () => {},
    error: () => {},
    bug: (_room: string, error: unknown) => void bugs.push(String(error)),
  };
  const none = new Map();
  const dispatcher = new Dispatcher({
    engine,
    events: new TaskEvents(new Metrics(), systemClock),
    clock: systemClock,
    log,
    leaseMs: 1000,
    pauses: { leasable: (ops) => ops },
    bounds: { rates: none, limits: none },
  });
  dispatcher.attach(new StillRunner(["a"], 1));
  dispatcher.attach(new StillRunner(["a"], 0));
  dispatcher.start();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assertEquals(bugs.length, 0, "the timer came before the loop was given up");
  while (bugs.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  assertStringIncludes(bugs[0]!, "rounds handed out nothing");
  const before = leases;
  while (bugs.length < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  assert(leases > before, "it looks again later");
  await dispatcher.stop();
});
