/** What becomes of a handler's outcome: every value and every thrown thing has a clear answer. */

import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { MAX_ERROR_MESSAGE_CHARS, MAX_RESULT_BYTES } from "../../../../protocol/limits.ts";
import { leasedTaskLine } from "../../../../protocol/work_message.ts";
import { TaskContext } from "../../../../workers/ops/context.ts";
import { errorOf, outcomeOf } from "../../../../workers/ops/handler.ts";
import { readLeasedRun } from "../../../../workers/ops/leased_run.ts";

function refusal(value: unknown): string {
  const outcome = outcomeOf(value);
  assert(typeof outcome === "object", `${String(outcome)} was taken`);
  assertEquals(outcome.error.code, "bad_result");
  return outcome.error.message;
}

Deno.test("a value that JSON can hold is the result", () => {
  const values = [0, -1, 1.5, 1e300, "", "ü\n\u0000", true, null, [], {}, { a: [1, { b: null }] }];
  for (const value of values) assertEquals(outcomeOf(value), JSON.stringify(value));
  assertEquals(outcomeOf(undefined), "null");
  assertEquals(outcomeOf(-0), "0");
  assertEquals(outcomeOf({ toJSON: () => 5 }), "5");
});

Deno.test("a value that JSON cannot hold is refused, and the error names its type", () => {
  assertStringIncludes(refusal(NaN), "NaN");
  assertStringIncludes(refusal(-Infinity), "-Infinity");
  assertStringIncludes(refusal(5n), "BigInt");
  assertStringIncludes(refusal(() => 1), "function");
  assertStringIncludes(refusal(Symbol("x")), "symbol");
  assertStringIncludes(refusal({ toJSON: () => undefined }), "nothing");
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  assertStringIncludes(refusal(cycle), "circular");
  assertStringIncludes(refusal({ deep: [5n] }), "BigInt");
  assertStringIncludes(refusal({ toJSON: () => refuse("bomb") }), "bomb");
});

function refuse(message: string): never {
  throw new Error(message);
}

Deno.test("a result may have bytes up to the limit, and not one more", () => {
  const largest = "x".repeat(MAX_RESULT_BYTES - 2);
  assertEquals(outcomeOf(largest), `"${largest}"`);
  assertStringIncludes(refusal(largest + "x"), `${MAX_RESULT_BYTES + 1} bytes`);
  // Two bytes in UTF-8 each.
  assertEquals(typeof outcomeOf("é".repeat((MAX_RESULT_BYTES - 2) / 2)), "string");
  refusal("é".repeat(MAX_RESULT_BYTES / 2));
});

Deno.test("a thrown value becomes a message, whatever it is", () => {
  class Odd extends Error {
    override name = "Odd";
  }
  const cases: [unknown, string][] = [
    [new Error("broken"), "broken"],
    [new TypeError("x is not y"), "TypeError: x is not y"],
    [new Odd("why"), "Odd: why"],
    [new RangeError(), "RangeError"],
    ["just text", "just text"],
    ["", 'the handler threw ""'],
    [undefined, "the handler threw undefined"],
    [null, "the handler threw null"],
    [42, "the handler threw 42"],
    [Symbol("s"), "the handler threw Symbol(s)"],
    [{ message: "like an error" }, "like an error"],
    [{ a: 1 }, 'the handler threw {"a":1}'],
  ];
  for (const [thrown, message] of cases) {
    assertEquals(errorOf(thrown), { error: { code: "task_error", message } });
  }
});

Deno.test("a thrown value that cannot be read is answered as well", () => {
  const bombs = [
    Object.defineProperty(new Error(), "message", { get: () => refuse("getter") }),
    Object.defineProperty(new Error(), "name", { value: { toString: () => refuse("name") } }),
    Object.defineProperty({}, "message", { get: () => refuse("getter") }),
    { toJSON: () => refuse("toJSON") },
    Object.assign(() => undefined, { toString: () => refuse("toString") }),
    new Proxy({}, { getPrototypeOf: () => refuse("proxy") }),
  ];
  for (const bomb of bombs) {
    assertEquals(errorOf(bomb).error.message, "the handler threw a value that cannot be read");
  }
});

Deno.test("a long error message is cut, and carries no stack", () => {
  const error = new Error("m".repeat(MAX_ERROR_MESSAGE_CHARS + 1));
  assertEquals(errorOf(error).error.message.length, MAX_ERROR_MESSAGE_CHARS);
  assertEquals(errorOf(new Error("short")).error.message, "short");
});

Deno.test("a leased task is read as it was written, without op, ref and task", () => {
  const payload = '{"n":1,"op":"square","ref":"r","task":{"timeout":5},"__proto__":2,"a\\"b":"}"}';
  const envelope = {
    attempt: 100,
    timeoutMs: 2 ** 31 - 1,
    id: "a.b:c-D_9",
    payload,
  };
  const { args, ...rest } = readLeasedRun(leasedTaskLine(2 ** 53 - 1, envelope));
  assertEquals(rest, {
    lease: 2 ** 53 - 1,
    attempt: 100,
    timeout: 2 ** 31 - 1,
    id: "a.b:c-D_9",
    op: "square",
    after: undefined,
  });
  assertEquals(Object.keys(args), ["n", "__proto__", 'a"b']);
  assertEquals(Object.getPrototypeOf(args), Object.prototype);

  const after = '{"p":",\\"submit\\":","q.1":{"ü":"😀","__proto__":1}}';
  const child = readLeasedRun(leasedTaskLine(2 ** 53 - 1, { ...envelope, after }));
  assertEquals(child, { ...rest, args, after });
  assertEquals(
    JSON.parse(leasedTaskLine(2 ** 53 - 1, { ...envelope, after })).after_chars,
    after.length,
  );
});

Deno.test("a line that is no leased task is refused, not looked at for ever", () => {
  for (const line of ['{"lease":', '{"lease":5', "", '{"lease":1,"attempt":1}']) {
    assertThrows(() => readLeasedRun(line));
  }
});

Deno.test("progress is a fraction; beyond its ends it is the end, and NaN is refused", () => {
  const said: [number, string?][] = [];
  const context = new TaskContext(
    {
      isCancelled: () => false,
      progress: (_seq, fraction) => void said.push([fraction]),
      note: (_seq, note) => void said.at(-1)?.push(note),
      log: () => undefined,
    },
    { lease: 1, attempt: 3, timeout: 0, id: "x", op: "o", after: undefined, args: {} },
    1,
  );
  context.progress(0.5, "half");
  context.progress(-3);
  context.progress(7);
  context.progress(1, "n".repeat(2000));
  assertEquals(said, [[0.5, "half"], [0], [1], [1, "n".repeat(1024)]]);
  assertThrows(() => context.progress(NaN), TypeError, "NaN");
  assertThrows(() => context.progress("1" as unknown as number), TypeError, '"1"');
  assertEquals([context.id, context.attempt, context.cancelled], ["x", 3, false]);
});
