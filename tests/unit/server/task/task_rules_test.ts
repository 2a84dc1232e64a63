/** The rules of a task, without any I/O: its life, its options, its backoff, its id, who waits for it. */

import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { SdError } from "../../../../protocol/errors.ts";
import {
  MAX_BACKOFF_MS,
  MAX_DEATHS,
  MAX_DELAY_MS,
  MAX_TIMEOUT_MS,
} from "../../../../protocol/limits.ts";
import { isFinal, STATUSES } from "../../../../protocol/task.ts";
import { Metrics } from "../../../../server/metrics.ts";
import {
  backoffMs,
  initialState,
  type TaskEvent,
  type TaskState,
  transition,
} from "../../../../server/task/transition.ts";
import { type FinishedTask, TaskEvents, type Waiter } from "../../../../server/task/task_events.ts";
import { asksTheSame, newTask } from "../../../../server/task/new_task.ts";
import { SerialMap } from "../../../../server/task/serial_map.ts";
import { serialOf, Serials } from "../../../../server/task/task_id.ts";

const NOW = 1_800_000_000_000;
const SERIALS = new Serials();
const CREATION = { now: NOW, serials: SERIALS };

function withOptions(task: Record<string, unknown>) {
  const message = { op: "square", n: 4, task };
  return newTask(message, JSON.stringify(message), CREATION);
}

Deno.test("from every state that can be reached, every event keeps the rules of a task's life", () => {
  const seen = new Map<string, TaskState>();
  const queue = [initialState(false), initialState(true)];
  const events = (state: TaskState): TaskEvent[] => {
    const leases = state.lease === 0 ? [99] : [state.lease, 99];
    return [
      { type: "due" },
      { type: "lease", lease: state.attempt + state.deaths + 1 },
      { type: "cancel" },
      { type: "expire" },
      { type: "retry" },
      ...leases.flatMap((lease): TaskEvent[] => [
        { type: "complete", lease },
        { type: "fail", lease, again: state.attempt < 3 },
        { type: "fail", lease, again: false },
        { type: "stop", lease },
        { type: "release", lease },
        { type: "lose", lease },
        { type: "die", lease },
      ]),
    ];
  };
  while (queue.length > 0) {
    const state = queue.pop()!;
    const key = JSON.stringify(state);
    if (seen.has(key)) continue;
    seen.set(key, state);
    assert((state.lease > 0) === (state.status === "running"), `${key} has a lease while it runs`);
    assert(state.attempt >= 0 && state.deaths <= MAX_DEATHS, key);
    assert(state.status === "running" || !state.cancelling, key);
    for (const event of events(state)) {
      const next = transition(state, event);
      const said = `${key} --${JSON.stringify(event)}--> ${JSON.stringify(next)}`;
      if ("lease" in event && event.type !== "lease" && event.lease !== state.lease) {
        assertEquals(next, undefined, said);
      }
      if (!next) continue;
      if (isFinal(state.status)) assertEquals([event.type, next.status], ["retry", "queued"], said);
      if (state.status === "completed") assert(false, said);
      if (state.cancelling && next.status !== "running") {
        assert(["cancelled", "completed"].includes(next.status), said);
      }
      if (event.type === "die" || event.type === "release") {
        if (next.status === "queued") assertEquals(next.attempt, state.attempt - 1, said);
      }
      queue.push(next);
    }
  }
  assertEquals(
    new Set([...seen.values()].map(({ status }) => status)),
    new Set(STATUSES),
    "every status can be reached",
  );
});

Deno.test("a task at its default options is due at once and waits for its end", () => {
  const task = newTask({ op: "square" }, '{"op":"square"}', CREATION);
  assertEquals([task.runAt, task.expiresAt, task.wait, task.idGiven], [NOW, Infinity, true, false]);
  assertEquals(task.rules, {
    priority: 0,
    timeoutMs: 60_000,
    attempts: 1,
    backoffMs: 1000,
    keepMs: 86_400_000,
  });
});

Deno.test("every option is taken at its limits and refused past them", () => {
  const limits: [string, number, number][] = [
    ["priority", -100, 100],
    ["timeout", 1, MAX_TIMEOUT_MS],
    ["attempts", 1, 100],
    ["backoff", 0, MAX_BACKOFF_MS],
    ["delay", 0, MAX_DELAY_MS],
    ["expires", 1, MAX_DELAY_MS],
    ["keep", 0, MAX_DELAY_MS],
  ];
  for (const [name, min, max] of limits) {
    for (const value of [min, max]) withOptions({ [name]: value });
    for (const value of [min - 1, max + 1, 1.5, "5", null, true, [], NaN, 2 ** 53]) {
      assertThrows(() => withOptions({ [name]: value }), SdError, `task.${name}`);
    }
  }
});

Deno.test("a wrong option or a wrong value of one is named in the message", () => {
  const wrong: [Record<string, unknown>, string][] = [
    [{ retries: 1 }, 'no option "retries"'],
    [JSON.parse('{"__proto__":1}'), 'no option "__proto__"'],
    [{ constructor: 1 }, 'no option "constructor"'],
    [{ id: "" }, "task.id"],
    [{ id: "a/b" }, "task.id"],
    [{ id: "x".repeat(129) }, "task.id"],
    [{ id: 5 }, "task.id"],
    [{ wait: 1 }, "task.wait"],
    [{ at: 5 }, "task.at"],
    [{ at: "2030-02-31" }, "task.at"],
    [{ at: "+275760-09-13T00:00:00Z" }, "task.at"],
    [{ at: "2999-01-01T00:00:00Z" }, "ten years"],
    [{ at: "2030-01-01T00:00:00Z", delay: 0 }, "not both"],
  ];
  for (const [options, text] of wrong) assertThrows(() => withOptions(options), SdError, text);
  for (const task of [1, null, [], "x"]) {
    assertThrows(() => newTask({ op: "a", task }, "", CREATION), SdError, "task holds the options");
  }
  for (const op of ["", 5, null, "x".repeat(129), {}]) {
    assertThrows(() => newTask({ op }, "", CREATION), SdError, "op is the name");
  }
});

Deno.test("a time in the past is now, a time zone counts", () => {
  assertEquals(withOptions({ at: "1999-01-01T00:00:00Z" }).runAt, NOW);
  assertEquals(
    withOptions({ at: "2028-01-01T02:00:00.5+02:00" }).runAt,
    Date.parse("2028-01-01T00:00:00.500Z"),
  );
});

Deno.test("backoff doubles, varies by a fifth at most, and ends at an hour", () => {
  assertEquals([1, 2, 3, 4].map((attempt) => backoffMs(1000, attempt, 0.5)), [
    1000,
    2000,
    4000,
    8000,
  ]);
  assertEquals([0, 1].map((random) => backoffMs(1000, 1, random)), [800, 1200]);
  assertEquals(backoffMs(1000, 100, 0.5), MAX_BACKOFF_MS);
  assertEquals(backoffMs(0, 5, 1), 0);
});

Deno.test("a task id is a UUIDv7 of its time that ends with the task's serial number", () => {
  const serials = Array.from({ length: 10_000 }, () => SERIALS.next());
  const ids = serials.map((serial, i) => SERIALS.idOf(serial, NOW + (i >> 10)));
  for (const id of ids.slice(0, 100)) {
    assertMatch(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
  assertEquals(new Set(ids).size, ids.length);
  assertEquals(ids.toSorted(), ids, "they sort by the time at which they were made");
  assertEquals(ids.map(serialOf), serials);
  assertEquals(parseInt(ids[0]!.slice(0, 13).replace("-", ""), 16), NOW);
  for (const id of ["", "nap", "x".repeat(36), ids[0]!.toUpperCase().replace(/.$/, "G")]) {
    assertEquals(serialOf(id), 0);
  }
});

Deno.test("two lines ask the same when op and arguments are equal, whatever else they say", () => {
  assert(
    asksTheSame('{"op":"a","x":{"b":1,"c":2},"ref":1}', '{"x":{"c":2,"b":1},"op":"a","task":{}}'),
  );
  assert(!asksTheSame('{"op":"a","x":1}', '{"op":"a","x":"1"}'));
  assert(!asksTheSame('{"op":"a"}', '{"op":"b"}'));
  assert(!asksTheSame('{"op":"a","__proto__":1}', '{"op":"a"}'));
});

function finished(id: string): FinishedTask {
  return { id, op: "a", status: "completed", attempt: 1, result: "1", error: undefined };
}

function waiter(): Waiter & { closed: boolean; got: string[] } {
  const got: string[] = [];
  return { closed: false, got, deliver: (task, ref) => void got.push(`${task.id} ${ref}`) };
}

Deno.test("everyone who waits for a task is told once, and nobody else", () => {
  const metrics = new Metrics();
  const events = new TaskEvents(metrics);
  const [submitter, again, other] = [waiter(), waiter(), waiter()];
  const named = withOptions({ id: "x" });
  const unnamed = newTask({ op: "square" }, '{"op":"square"}', CREATION);
  events.waitForNew(named, submitter, 1);
  events.waitForNew(named, again, 2);
  events.waitForNew(unnamed, submitter, 3);
  events.wait(unnamed.id, other);
  const wait = events.wait("y", other);
  const another = events.wait("y", again);
  events.emit([finished("x"), finished("z"), finished(unnamed.id)]);
  events.emit([finished("x")]);
  assertEquals(submitter.got, ["x 1", `${unnamed.id} 3`]);
  assertEquals([again.got, other.got], [["x 2"], [`${unnamed.id} undefined`]]);
  assertEquals(events.size, 1);
  events.unwait("y", another);
  events.unwait("y", another);
  assertEquals(events.size, 1);
  events.unwait("y", wait);
  assertEquals([events.size, metrics.finished], [0, 4]);
});

Deno.test("the end of another server's task is no news for a task with the same number", () => {
  const events = new TaskEvents(new Metrics());
  const submitter = waiter();
  const own = newTask({ op: "square" }, '{"op":"square"}', CREATION);
  events.waitForNew(own, submitter, 1);
  events.emit([finished(SERIALS.idOf(own.serial, NOW - 1))]);
  assertEquals(submitter.got, []);
  events.emit([finished(own.id)]);
  assertEquals(submitter.got, [`${own.id} 1`]);
});

Deno.test("waiters of closed connections are told nothing, and do not pile up", () => {
  const events = new TaskEvents(new Metrics());
  const open = waiter();
  events.wait("kept", open);
  for (let i = 0; i < 1000; i++) {
    const gone = waiter();
    events.waitForNew(newTask({ op: "square" }, '{"op":"square"}', CREATION), gone, i);
    events.wait("kept", gone);
    gone.closed = true;
    events.forget(2);
  }
  assert(events.size < 10, `${events.size} tasks are waited for`);
  events.emit([finished("kept")]);
  assertEquals(open.got, ["kept undefined"]);
});

Deno.test("a map of serial numbers holds what was set and not taken, whatever the order", () => {
  const map = new SerialMap<string>();
  const numbers = [1, 2, 63, 64, 65, 1_000_000, 2 ** 31, 2 ** 40 + 7];
  for (const number of numbers.toReversed()) map.set(number, `v${number}`);
  map.set(64, "again");
  assertEquals([map.size, map.get(64), map.get(3), map.has(2 ** 40 + 7)], [
    8,
    "again",
    undefined,
    true,
  ]);
  assertEquals([...map.entries()].map(([number]) => number).sort((a, b) => a - b), numbers);
  assertEquals([map.take(64), map.take(64), map.take(9)], ["again", undefined, undefined]);
  for (const number of numbers) map.take(number);
  assertEquals([map.size, [...map.entries()]], [0, []]);
  map.set(1, "x");
  map.clear();
  assertEquals([map.size, map.get(1)], [0, undefined]);
});
